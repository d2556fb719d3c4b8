"""A trained model as one folder that can be copied and used elsewhere.

::

    bundle/
      model.safetensors   weights
      config.yaml         the resolved run configuration
      facts.json          what the training images were like
      calibration.json    temperature and thresholds, where they were fitted
      split.json          who trained, validated, was kept aside
      scores.json         Dice on the validation cases
      versions.json       medseg, torch and Python that made it
      training.json       counts of patients and time, for the model card
      card.yaml           what the owner says; card.md and card.html are the model card (`medseg card`)
      evaluation.json     means of an evaluation, if one was added to the card
      int8/               the network in 8-bit integers, if `medseg export --int8 --into-bundle` made one

A bundle of several networks has ``members/0``, ``members/1``, … in the place of ``model.safetensors``, each with
weights and its own ``config.yaml``. A model that first finds the region to predict in has ``localiser/`` with the same
two files.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

import medseg
from medseg.config.load import dump_config, load_config
from medseg.config.networks import OwnNetworkSection, SwinUNETRSection
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.errors import BundleError, ConfigError
from medseg.core.files import atomic_folder
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.data.joining import Joining

from .bundle_files import (
    CALIBRATION,
    CONFIG,
    FACTS,
    LOCALISER,
    MEMBERS,
    MOST_MEMBERS,
    WEIGHTS,
    check_weights,
    load_weights,
    member_folders,
    read_calibration,
    read_json,
    write_json,
    write_weights,
)
from .calibration import Calibration
from .expected import StructureFacts
from .network import network_of

OWNER = "card.yaml"
"""What the owner of a model says about it; it stays when the model is trained on."""
_OF_THE_WHOLE = ("name", "data", "inference", "postprocessing", "selection", "localiser", "device")
Range = tuple[float, float, float]


class TrainingFacts(BaseModel):
    """What the training images were like, to tell whether another image fits the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[str, ...]
    """Channel names, in order."""
    spacing_min: Range
    """Smallest voxel size along the right, anterior and superior axis, mm (pixels for 2D images)."""
    spacing_max: Range
    extent_min_mm: Range
    """Smallest image along the right, anterior and superior axis, mm."""
    extent_max_mm: Range
    structures: dict[str, StructureFacts] = {}
    """What each target was like, for those that occur; empty in bundles of older versions and for images in pixels."""

    @classmethod
    def from_grids(
        cls,
        modalities: tuple[str, ...],
        grids: Iterable[Geometry],
        structures: Mapping[str, StructureFacts] = MappingProxyType({}),
    ) -> Self:
        """The facts of images on these grids, at least one, and of the targets in them."""
        oriented = [grid.reoriented("RAS") for grid in grids]
        spacings = np.array([grid.spacing for grid in oriented])
        extents = spacings * np.array([grid.shape for grid in oriented])
        return cls(
            modalities=modalities,
            spacing_min=_range(spacings.min(axis=0)),
            spacing_max=_range(spacings.max(axis=0)),
            extent_min_mm=_range(extents.min(axis=0)),
            extent_max_mm=_range(extents.max(axis=0)),
            structures=dict(structures),
        )

    @classmethod
    def merged(cls, facts: Sequence[Self]) -> Self:
        """The facts of several trainings, at least one, with the channels of the first."""
        names = dict.fromkeys(name for one in facts for name in one.structures)
        return cls(
            modalities=facts[0].modalities,
            spacing_min=_range(np.min([one.spacing_min for one in facts], axis=0)),
            spacing_max=_range(np.max([one.spacing_max for one in facts], axis=0)),
            extent_min_mm=_range(np.min([one.extent_min_mm for one in facts], axis=0)),
            extent_max_mm=_range(np.max([one.extent_max_mm for one in facts], axis=0)),
            structures={
                name: StructureFacts.merged([one.structures[name] for one in facts if name in one.structures])
                for name in names
            },
        )


@dataclass(frozen=True, eq=False)
class Member:
    """One trained network of a bundle.

    Attributes:
        config: The configuration that it was trained with.
        network: In evaluation mode, on the CPU.
        int8: Where the same network in 8-bit integers lies, if there is one (see ``openvino_int8``); None for a network
            that comes from no bundle on disk.
    """

    config: RunConfig
    network: nn.Module
    int8: Path | None = None


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model, ready to predict: one network, or several whose probabilities are averaged.

    Attributes:
        members: At least one. All know the same channels and targets; their plans (dimensions, spacing, window,
            network) may differ.
        scheme: The structures that it knows.
        facts: What its training images were like.
        calibration: How its probabilities are corrected.
        localiser: A network that finds, at low resolution, the region that the members then look at; None if they look
            at the whole image. The section ``localiser`` of the configuration says with which margin.

    Raises:
        BundleError: If the members or the localiser do not go together, there are none or too many members, or a
            threshold is not of a target that may overlap others.
    """

    members: tuple[Member, ...]
    scheme: LabelScheme
    facts: TrainingFacts
    calibration: Calibration = field(default_factory=Calibration)
    localiser: Member | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.members) <= MOST_MEMBERS:
            raise BundleError(f"a bundle has 1 to {MOST_MEMBERS} members, got {len(self.members)}")
        for number, member in enumerate(self.members[1:], start=1):
            if difference := _difference(self.config, member.config):
                raise BundleError(f"member {number} does not go with member 0: {difference}")
        _check_thresholds(self.calibration, self.scheme)
        _check_localiser(self.config, self.localiser)

    @classmethod
    def single(cls, config: RunConfig, scheme: LabelScheme, network: nn.Module, facts: TrainingFacts) -> Self:
        """The bundle of one network."""
        return cls((Member(config, network),), scheme, facts)

    @property
    def config(self) -> RunConfig:
        """The first member's configuration; its inference, clean-up and selection are those of the whole bundle."""
        return self.members[0].config

    def with_config(self, config: RunConfig) -> Self:
        """The same networks with another configuration of the first member, and so of the whole bundle."""
        first, *others = self.members
        return replace(self, members=(replace(first, config=config), *others))


@dataclass(frozen=True, eq=False)
class BundleRecords:
    """What a bundle tells about its making besides the weights; JSON each."""

    split: Mapping[str, Sequence[str]]
    scores: Mapping[str, object]


def output_channels(scheme: LabelScheme) -> int:
    """Logits a voxel: one a target, and one for the background where targets exclude each other."""
    return len(scheme.targets) + int(scheme.is_exclusive)


def write_bundle(folder: Path, bundle: Bundle, records: BundleRecords | None = None) -> None:
    """Write a bundle, atomically; a bundle that was there is replaced.

    Args:
        folder: Where to.
        bundle: The model.
        records: What is known of its making; None for nothing.
    """
    records = records or BundleRecords({}, {})
    with atomic_folder(folder) as partial:
        _write_config(partial, bundle.config)
        for place, member in zip(_places(partial, len(bundle.members)), bundle.members, strict=True):
            place.mkdir(parents=True, exist_ok=True)
            _write_config(place, member.config)
            write_weights(place / WEIGHTS, member.network)
        if bundle.localiser is not None:
            (partial / LOCALISER).mkdir()
            _write_config(partial / LOCALISER, bundle.localiser.config)
            write_weights(partial / LOCALISER / WEIGHTS, bundle.localiser.network)
        (partial / FACTS).write_text(bundle.facts.model_dump_json(indent=1), encoding="utf-8")
        if not bundle.calibration.is_default:
            (partial / CALIBRATION).write_text(bundle.calibration.model_dump_json(indent=1), encoding="utf-8")
        write_json(partial / "split.json", records.split)
        write_json(partial / "scores.json", records.scores)
        write_json(partial / "versions.json", _versions())
        if (folder / OWNER).is_file():
            (partial / OWNER).write_bytes((folder / OWNER).read_bytes())


def read_bundle(folder: Path, network: nn.Module | None = None) -> Bundle:
    """Read a bundle; nothing in it is ever run as code.

    Args:
        folder: The bundle.
        network: Like the one that was trained, for bundles whose network is one's own; copied, and its weights
            replaced. Networks of medseg are built without it.

    Raises:
        BundleError: If the folder is no bundle, its parts do not belong together, or an own network is missing.
    """
    if not (folder / CONFIG).is_file() or not ((folder / WEIGHTS).is_file() or (folder / MEMBERS).is_dir()):
        raise BundleError(
            f"{str(folder)!r} is no bundle: it needs {CONFIG} and {WEIGHTS} (RUN/bundle has them), "
            f"or {CONFIG} and {MEMBERS}"
        )
    try:
        config = load_config(folder / CONFIG)
        facts = read_json(folder / FACTS, TrainingFacts)
    except (ConfigError, BundleError) as error:
        raise BundleError(f"bundle {str(folder)!r}: its configuration or facts cannot be read: {error}") from error
    scheme, places = label_scheme(config.labels), member_folders(folder)
    configs = (config,) if places == (folder,) else _member_configs(folder, places, config)
    members = tuple(_member(folder, place, one, network) for place, one in zip(places, configs, strict=True))
    localiser = _localiser(folder)
    try:
        return Bundle(members, scheme, facts, read_calibration(folder), localiser)
    except BundleError as error:
        raise BundleError(f"bundle {str(folder)!r}: {error}") from None


def _places(folder: Path, members: int) -> list[Path]:
    """Where the networks of a bundle lie."""
    return [folder] if members == 1 else [folder / MEMBERS / str(number) for number in range(members)]


def _write_config(folder: Path, config: RunConfig) -> None:
    (folder / CONFIG).write_text(dump_config(portable(config)), encoding="utf-8")


def portable(config: RunConfig) -> RunConfig:
    """The configuration without where data, first weights and curves lay; of no use elsewhere, and may say whose."""
    split = config.data.split.model_copy(update={"file": None})
    init = config.training.init and config.training.init.model_copy(update={"bundle": Path()})
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"folder": Path(), "split": split}),
            "training": config.training.model_copy(update={"init": init, "tracking_uri": None}),
        }
    )


def _member_configs(folder: Path, places: Sequence[Path], config: RunConfig) -> list[RunConfig]:
    """The members' configurations; the first is the bundle's, which may say other things about the whole of it."""
    try:
        first, *others = (load_config(place / CONFIG) for place in places)
    except ConfigError as error:
        raise BundleError(f"bundle {str(folder)!r}: a member's configuration cannot be read: {error}") from error
    changed = [name for name in type(config).model_fields if getattr(first, name) != getattr(config, name)]
    if wrong := [name for name in changed if name not in _OF_THE_WHOLE]:
        raise BundleError(
            f"bundle {str(folder)!r}: {CONFIG} and that of member 0 do not belong together, they differ in "
            f"{', '.join(wrong)}"
        )
    return [config, *others]


def _member(folder: Path, place: Path, config: RunConfig, own: nn.Module | None) -> Member:
    is_own = isinstance(config.network, OwnNetworkSection)
    if is_own and own is None:
        raise BundleError(
            f"bundle {str(folder)!r}: its network is one's own, and code is not in a bundle; read it from Python with "
            "medseg.read_bundle(folder, network=...)"
        )
    weights, outputs = place / WEIGHTS, output_channels(label_scheme(config.labels))
    shown = f"bundle {str(folder)!r}: {weights.relative_to(folder).as_posix()}"
    if not is_own and not isinstance(config.network, SwinUNETRSection):  # MONAI's cannot be made without memory
        with torch.device("meta"):  # what a configuration describes may be larger than the memory, unlike the file
            check_weights(network_of(config, outputs), weights, shown)
    network = network_of(config, outputs, own if is_own else None)
    load_weights(network, weights, shown)
    return Member(config, network.eval(), place / "int8")


def _localiser(folder: Path) -> Member | None:
    place = folder / LOCALISER
    if not place.exists():
        return None
    try:
        config = load_config(place / CONFIG)
    except ConfigError as error:
        raise BundleError(f"bundle {str(folder)!r}: its localiser's configuration cannot be read: {error}") from error
    return _member(folder, place, config, None)


def _difference(one: RunConfig, other: RunConfig) -> str:
    """In what two configurations differ that may not; empty if their networks speak of the same."""
    mine, theirs = ([channel.name for channel in config.channels] for config in (one, other))
    if mine != theirs:
        return f"its channels are {', '.join(theirs)}, not {', '.join(mine)}"
    if Joining.of(one) != Joining.of(other):
        return "other channels are optional, or another one is the reference"
    known, others = (_meaning(label_scheme(config.labels)) for config in (one, other))
    return "" if known == others else "its structures or regions are others, or they have other values"


def _meaning(scheme: LabelScheme) -> tuple[object, ...]:
    """What the outputs of a network mean, without how it is shown."""
    structures = [(one.name, one.value) for one in scheme.structures]
    return structures, [(one.name, one.structures) for one in scheme.regions], scheme.overlapping


def _check_localiser(config: RunConfig, localiser: Member | None) -> None:
    """Refuse a localiser that nobody trained for this model, or a model that lacks its own."""
    section = config.localiser
    if section is None or localiser is None:
        if section is not None or localiser is not None:
            lacks = "it has a localiser, but no section localiser" if section is None else "its localiser is missing"
            raise BundleError(f"the configuration and the localiser do not belong together: {lacks}")
        return
    mine, theirs = ([channel.name for channel in one.channels] for one in (config, localiser.config))
    if mine != theirs or Joining.of(config) != Joining.of(localiser.config):
        raise BundleError(f"the localiser is for other channels: {', '.join(theirs)}, not {', '.join(mine)}")
    if section.margin_mm is None or section.least_ml is None:
        raise BundleError("localiser.margin_mm and localiser.least_ml are missing, which training measures")


def _check_thresholds(calibration: Calibration, scheme: LabelScheme) -> None:
    allowed = () if scheme.is_exclusive else scheme.targets
    if wrong := [name for name in calibration.thresholds if name not in allowed]:
        raise BundleError(
            f"thresholds are given for {', '.join(map(repr, wrong))}, which are not targets that may overlap others"
        )


def _range(numbers: NDArray[np.float64]) -> Range:
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def _versions() -> dict[str, str]:
    return {
        "medseg": medseg.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
