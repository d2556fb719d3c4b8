"""The models that the configuration names, as far as results speak of them; no weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from medseg.batch.select import Rules
from medseg.batch.work import model_digest
from medseg.config.load import load_config
from medseg.config.schemes import label_scheme
from medseg.core.errors import BundleError, MedsegError
from medseg.core.labels import LabelScheme
from medseg.data.joining import Joining
from medseg.inference.bundle import TrainingFacts
from medseg.inference.bundle_files import model_files

from .records import ModelStamp
from .stamps import Stamp, stamp

_LARGEST_FACTS = 50_000_000
_SHOWN_DIGITS = 8


@dataclass(frozen=True, eq=False)
class KnownModel:
    """What is known of a model without its network.

    Attributes:
        stamp: Its name and digest; a version only results have.
        scheme: What it segments.
        rules: What series it takes, and what its training was like.
    """

    stamp: ModelStamp
    scheme: LabelScheme
    rules: Rules


class ModelShelf:
    """Models by folder, each looked at anew only when one of its files has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, KnownModel]] = {}

    def model(self, folder: Path) -> KnownModel:
        """The model in a folder.

        Raises:
            BundleError: If the folder is no bundle, or its parts are damaged.
        """
        now = model_stamp(folder)
        if folder not in self._known or self._known[folder][0] != now:
            self._known[folder] = (now, _read(folder))
        return self._known[folder][1]


def model_stamp(folder: Path) -> Stamp:
    """What changes when the model in a folder does; empty if its files cannot be told."""
    try:
        return stamp(folder / name for name in model_files(folder))
    except BundleError:
        return ()


def result_version(software: str, digest: str) -> str:
    """The version that results of a batch carry: of the program, and the beginning of the model's digest."""
    return "-".join(part for part in (software, digest[:_SHOWN_DIGITS]) if part)


def _read(folder: Path) -> KnownModel:
    try:
        facts_file = folder / "facts.json"
        if facts_file.stat().st_size > _LARGEST_FACTS:
            raise BundleError("facts.json is too large")
        config, digest = load_config(folder / "config.yaml"), model_digest(folder)
        facts = TrainingFacts.model_validate_json(facts_file.read_bytes())
        scheme, rules = label_scheme(config.labels), Rules(facts, config.selection, Joining.of(config))
    except (OSError, ValidationError, MedsegError) as error:
        raise BundleError("a model is no bundle, or its configuration, facts or weights cannot be read") from error
    return KnownModel(ModelStamp(config.name, "", digest), scheme, rules)
