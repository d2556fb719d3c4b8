"""Which files make a case, and which cases make a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from medseg.core.case import CaseId, SeriesUID
from medseg.core.errors import InputError
from medseg.core.labels import LabelScheme


@dataclass(frozen=True)
class ImageFile:
    """Where one channel of a case lies.

    Attributes:
        path: An image file, or the folder of a DICOM series.
        component: Which channel of a file that holds several; None for a file that holds one.
        series: Which DICOM series, where the folder holds several.
    """

    path: Path
    component: int | None = None
    series: SeriesUID | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case; nothing of them is read yet, and they may be missing or damaged.

    Attributes:
        id: Name of the case.
        images: A file for each channel.
        label: File of the label; None where there is none.
        patient: Cases of one patient share it; never shown.
        attributes: What subgroup scores need, such as sex or scanner.
        split: ``train``, ``validation`` or ``test`` if the data set says so.
        item: Whose entry of a label file that holds those of many images; None for a file that holds one.
    """

    id: CaseId
    images: Mapping[str, ImageFile]
    label: Path | None
    patient: str = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    item: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Cases with the same structures, and the same channels but for those that a case lacks.

    Attributes:
        name: Of the folder, or what the data set calls itself.
        folder: Where it lies.
        channels: The channels that cases have; a case may lack some.
        scheme: The structures; None if no case has a label.
        cases: In a fixed order, ids differ.
    """

    name: str
    folder: Path
    channels: tuple[str, ...]
    scheme: LabelScheme | None
    cases: tuple[CaseFiles, ...]

    def __post_init__(self) -> None:
        if not self.cases:
            raise InputError(f"data set {self.name!r} holds no case")
        doubled = [case for case, count in Counter(case.id for case in self.cases).items() if count > 1]
        if doubled:
            raise InputError(f"data set {self.name!r} has several cases named {doubled[0]!r}; names must differ")
        if len(set(self.channels)) != len(self.channels):
            raise InputError(f"data set {self.name!r}: channel names must differ, got {', '.join(self.channels)}")

    @property
    def labelled(self) -> tuple[CaseFiles, ...]:
        """The cases that have a label."""
        return tuple(case for case in self.cases if case.label is not None)

    @property
    def lacking(self) -> Mapping[str, int]:
        """How many cases lack a channel, for those channels that some case lacks."""
        counts = {name: sum(name not in case.images for case in self.cases) for name in self.channels}
        return {name: count for name, count in counts.items() if count}

    def case(self, case: str) -> CaseFiles:
        """The files of the case of that name.

        Raises:
            InputError: If there is none.
        """
        try:
            return self._by_id[case]
        except KeyError:
            raise InputError(f"data set {self.name!r} has no case {case!r}") from None

    @cached_property
    def _by_id(self) -> dict[str, CaseFiles]:
        return {case.id: case for case in self.cases}
