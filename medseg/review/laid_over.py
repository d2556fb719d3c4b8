"""What is laid over the image: where outlines agree with others, and where the model was unsure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from medseg.config.review import ReviewLimits
from medseg.core.errors import InputError
from medseg.core.segmentation import Segmentation

from .agreement import DiceMatrix, newest_versions, pairwise_dice
from .compare import (
    ComparedTarget,
    Disagreement,
    LegendEntry,
    agreement_map,
    compare_table,
    disagreements,
    legend,
)
from .open_case import read_other, read_reference, read_uncertainty
from .records import Version
from .served import Served, served_image
from .sitting import Sitting
from .tickets import VoxelGrant
from .uncertainty import HEAT_LEGEND, UncertainSlice, heat_map, mean_within, uncertain_slices

T = TypeVar("T")
_SHOWN = "shown"
"""What the outlines on the screen are called."""


class Kind(StrEnum):
    """Whose outlines others are."""

    REFERENCE = "reference"
    VERSION = "version"
    OTHER = "other"


@dataclass(frozen=True)
class Beside:
    """Outlines to compare with.

    Attributes:
        kind: What they are.
        name: Number of a version, or name of another reader or model; empty for the reference.
        author: Who made a version; else empty.
    """

    kind: Kind
    name: str = ""
    author: str = ""

    @property
    def words(self) -> str:
        """What they are called."""
        match self.kind:
            case Kind.REFERENCE:
                return "reference"
            case Kind.VERSION:
                return f"version {self.name} ({self.author})"
            case Kind.OTHER:
                return self.name


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outlines on the screen, side A, beside others, side B.

    Attributes:
        identity: Another one means another map.
        legend: What its values mean.
        rows: Scores of each target.
        places: Where they differ, largest first.
        map: Leave to fetch the map of agreement.
    """

    identity: str
    legend: tuple[LegendEntry, ...]
    rows: tuple[ComparedTarget, ...]
    places: tuple[Disagreement, ...]
    map: VoxelGrant


@dataclass(frozen=True, eq=False)
class Doubt:
    """Where the model was unsure.

    Attributes:
        slices: The most uncertain axial slices, worst first.
        means: Of each target on the screen; None for an empty one.
        legend: What the ends of the colour bar mean.
        map: Leave to fetch the heat map.
    """

    slices: tuple[UncertainSlice, ...]
    means: Mapping[str, float | None]
    legend: tuple[str, str]
    map: VoxelGrant


@dataclass(frozen=True, eq=False)
class _Made(Generic[T]):
    """What was made, for which outlines, and the file of it."""

    identity: str
    value: T
    served: Served = field(repr=False)


class LaidOver:
    """Overlays of one sitting, of each kind the last one; made when they are asked for."""

    def __init__(self, sitting: Sitting, limits: ReviewLimits) -> None:
        """Nothing is made yet.

        Args:
            sitting: Whose outlines are on the screen.
            limits: From how many voxels on a copy is shown.
        """
        self._sitting, self._limits = sitting, limits
        self._comparison: _Made[Comparison] | None = None
        self._doubt: _Made[Doubt] | None = None

    def choices(self) -> tuple[Beside, ...]:
        """What there is to compare with, the reference first; without what is on the screen."""
        files = self._sitting.opened.case.files
        found = [Beside(Kind.REFERENCE)] if files.reference is not None else []
        shown = self._sitting.shown.version.number
        found += [
            Beside(Kind.VERSION, str(version.number), version.author)
            for version in self._sitting.versions
            if version.number != shown
        ]
        return (*found, *(Beside(Kind.OTHER, name) for name in files.others))

    def comparison(self, beside: Beside) -> Comparison:
        """The outlines on the screen, as they were saved, beside others.

        Raises:
            MedsegError: If the others cannot be read, lie elsewhere or share no structure.
        """
        sitting = self._sitting
        identity = f"{sitting.shown.version.sha256} {sitting.shown.is_draft} {beside}"
        if self._comparison is None or self._comparison.identity != identity:
            one, other = sitting.shown.segmentation, self._outlines(beside)
            names = (_SHOWN, beside.words)
            rows, places = tuple(compare_table(one, other, names)), tuple(disagreements(one, other))
            served = sitting.opened.overlay(agreement_map(one, other))
            grant = VoxelGrant(sitting.shown.version.case, served.path)
            _remove(self._comparison)
            self._comparison = _Made(identity, Comparison(identity, legend(*names), rows, places, grant), served)
        return self._comparison.value

    def doubt(self) -> Doubt | None:
        """Where the model was unsure; None if it left no word about that.

        Raises:
            MedsegError: If the map cannot be read, or lies elsewhere.
        """
        sitting = self._sitting
        identity = f"{sitting.shown.version.sha256} {sitting.shown.is_draft}"
        if self._doubt is None or self._doubt.identity != identity:
            entropy = read_uncertainty(sitting.opened.case)
            if entropy is None:
                return None
            slices, means = uncertain_slices(entropy), mean_within(entropy, sitting.shown.segmentation)
            served = served_image(heat_map(entropy), sitting.opened.image.path.parent, self._limits)
            grant = VoxelGrant(sitting.shown.version.case, served.path)
            _remove(self._doubt)
            self._doubt = _Made(identity, Doubt(slices, means, HEAT_LEGEND, grant), served)
        return self._doubt.value

    def between_readers(self) -> DiceMatrix | None:
        """The Dice of each pair of authors, of their newest versions; None if there is one author only.

        Raises:
            ReadError: If the vault is damaged.
        """
        newest = newest_versions(self._sitting.versions)
        return pairwise_dice(_Outlines(self._sitting, newest)) if len(newest) > 1 else None

    def close(self) -> None:
        """Remove the files."""
        _remove(self._comparison)
        _remove(self._doubt)
        self._comparison = self._doubt = None

    def _outlines(self, beside: Beside) -> Segmentation:
        case = self._sitting.opened.case
        match beside.kind:
            case Kind.VERSION:
                return self._sitting.labels_of(int(beside.name))
            case Kind.OTHER:
                return read_other(case, beside.name)
            case Kind.REFERENCE:
                reference = read_reference(case)
                if reference is None:
                    raise InputError("this case has no reference any more")
                return reference


class _Outlines(Mapping[str, Segmentation]):
    """Outlines by author, each read when it is asked for."""

    def __init__(self, sitting: Sitting, newest: Mapping[str, Version]) -> None:
        self._sitting, self._newest = sitting, newest

    def __getitem__(self, author: str) -> Segmentation:
        return self._sitting.labels_of(self._newest[author].number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._newest)

    def __len__(self) -> int:
        return len(self._newest)


def _remove(made: _Made[Comparison] | _Made[Doubt] | None) -> None:
    if made is not None:
        with contextlib.suppress(OSError):
            made.served.path.unlink()
