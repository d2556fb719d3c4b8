"""The model card: what a bundle and its evaluation tell about a model, and what its owner says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.config.card import OwnerSection
from medseg.config.load import load_config, load_owner
from medseg.config.networks import NetworkSection
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.errors import BundleError
from medseg.core.labels import LabelScheme
from medseg.data.documents import parse_document, read_json
from medseg.inference.bundle import OWNER, TrainingFacts
from medseg.inference.bundle_files import (
    CONFIG,
    FACTS,
    INT8,
    LOCALISER,
    RECORD,
    WEIGHTS,
    count_weights,
    member_folders,
    read_calibration,
)
from medseg.inference.bundle_files import read_json as read_part
from medseg.inference.calibration import Calibration
from medseg.inference.openvino_int8 import Int8Record, read_int8_record

from .score_sheet import ScoreSheet
from .training_record import TrainingRecord, read_record

EVALUATION = "evaluation.json"
MARKDOWN, PAGE = "card.md", "card.html"


@dataclass(frozen=True, eq=False)
class Card:
    """All that a model card shows; numbers of groups, no case and no patient.

    Attributes:
        owner: What only the owner can say.
        config: How the model was trained; in an ensemble, its first network.
        scheme: What it outlines.
        facts: What its training images were like.
        calibration: How its probabilities are corrected.
        networks: Each of its networks; one, or those of an ensemble.
        parameters: Numbers in each of them.
        versions: Of the software that made it.
        record: Who trained, how long, and the scores of cases that did not.
        evaluation: What `medseg evaluate` found; None if nobody added it.
        localiser_parameters: Numbers in its localiser; None if it has none.
        int8: What its networks lose in 8-bit integers, for those that it holds in them.
    """

    owner: OwnerSection
    config: RunConfig
    scheme: LabelScheme
    facts: TrainingFacts
    calibration: Calibration
    networks: tuple[NetworkSection, ...]
    parameters: tuple[int, ...]
    versions: Mapping[str, str]
    record: TrainingRecord
    evaluation: ScoreSheet | None = None
    localiser_parameters: int | None = None
    int8: tuple[Int8Record, ...] = ()

    @property
    def title(self) -> str:
        """What the model is called."""
        return self.owner.title or self.config.name

    @property
    def sheets(self) -> tuple[ScoreSheet, ...]:
        """All scores that there are, the ones that say most about new cases first."""
        return tuple(one for one in (self.evaluation, self.record.scores) if one is not None)


def read_card(bundle: Path) -> Card:
    """The card of a bundle, from its files; no network is built.

    Raises:
        BundleError: If the folder is no bundle, or a part of it is missing or damaged.
        ConfigError: If its configuration or ``card.yaml`` is not sound.
        ReadError: If another file is not.
    """
    if not all((bundle / name).is_file() for name in (CONFIG, FACTS)):
        raise BundleError(f"{str(bundle)!r} is no bundle: it needs {CONFIG} and {FACTS} (RUN/bundle has them)")
    config = load_config(bundle / CONFIG)
    places = member_folders(bundle)
    return Card(
        load_owner(bundle / OWNER),
        config,
        label_scheme(config.labels),
        read_part(bundle / FACTS, TrainingFacts),
        read_calibration(bundle),
        tuple(load_config(place / CONFIG).network for place in places),
        tuple(count_weights(place / WEIGHTS, f"{WEIGHTS} of the bundle") for place in places),
        {name: str(version) for name, version in _optional(bundle / "versions.json").items()},
        read_record(bundle),
        _evaluation(bundle / EVALUATION),
        _localiser_parameters(bundle),
        tuple(read_int8_record(place / INT8) for place in places if (place / INT8 / RECORD).is_file()),
    )


def _localiser_parameters(bundle: Path) -> int | None:
    place = bundle / LOCALISER
    return count_weights(place / WEIGHTS, f"{WEIGHTS} of the localiser") if place.exists() else None


def _evaluation(path: Path) -> ScoreSheet | None:
    return parse_document(read_json(path), ScoreSheet, path.name) if path.exists() else None


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}
