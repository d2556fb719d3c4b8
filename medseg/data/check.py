"""What is wrong with a data set, found before a training finds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import CaseId, grid_difference
from medseg.core.errors import ConfigError, MedsegError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import Labels, MultiLabelMap, Volume

from .dataset import CaseFiles, Dataset
from .joining import WELL_COVERED, Joining
from .load import load_joined, load_label
from .reference import reference_channel
from .split import Split, check_patients
from .structures import present_values

_SPACING_FACTOR = 3.0
_PARTS = ("train", "validation", "test")
T = TypeVar("T")


class Severity(StrEnum):
    """How bad it is: an error stops a training, a warning may spoil it, a note is good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in one case or (case None) in the data set as a whole."""

    severity: Severity
    case: CaseId | None
    message: str


@dataclass(frozen=True, eq=False)
class Survey:
    """What reading every case once tells.

    Attributes:
        findings: Errors first, then warnings, then notes.
        grids: Of each case whose image could be read, axes turned to RAS.
        occurrences: In how many cases each structure (or region) occurs.
    """

    findings: tuple[Finding, ...]
    grids: Mapping[CaseId, Geometry]
    occurrences: Mapping[str, int]


def check_dataset(dataset: Dataset, progress: Progress = SILENT) -> tuple[Finding, ...]:
    """Everything that is wrong with a data set; one bad case never hides another.

    Errors: files that are missing or cannot be read, image and label on different grids, channels that cannot be laid
    onto each other, label values that are not in
    the scheme, a patient in two parts of the given split. Warnings: no label, an empty label, a structure that occurs
    nowhere, a constant channel, a channel that some cases lack or that covers less than three quarters of the
    reference, values that are not finite, a spacing more than three times off the median, images with and without
    millimetres. Notes: orientations that differ, channels on several grids, labels that are in part ignored.
    """
    return survey(dataset, progress).findings


def survey(dataset: Dataset, progress: Progress = SILENT) -> Survey:
    """Read every case once, one at a time, and tell what is there and what is wrong."""
    progress.start("checking cases", len(dataset.cases))
    joining = Joining(frozenset(dataset.lacking), reference_channel(dataset))
    examined = []
    for files in dataset.cases:
        examined.append(_examine(files, dataset, joining))
        progress.advance()
    progress.finish()
    occurrences = Counter(name for one in examined for name in one.targets)
    grids = {one.case: one.grid for one in examined if one.grid is not None}
    findings = [finding for one in examined for finding in one.findings]
    findings += [*_split_findings(dataset), *_channel_findings(dataset, examined, joining.reference)]
    findings += [*_grid_findings(grids), *_label_findings(dataset, occurrences), *_ignored_findings(examined)]
    order = list(Severity)
    targets = dataset.scheme.targets if dataset.scheme else ()
    return Survey(
        tuple(sorted(findings, key=lambda finding: order.index(finding.severity))),
        {case: grid.reoriented("RAS") for case, grid in grids.items()},
        {name: occurrences[name] for name in targets},
    )


@dataclass(eq=False)
class _Examined:
    case: CaseId
    grid: Geometry | None = None
    targets: Sequence[str] = ()
    is_resampled: bool = False
    ignored_share: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def add(self, severity: Severity, message: str) -> None:
        self.findings.append(Finding(severity, self.case, message))

    def attempt(self, read: Callable[[], T]) -> T | None:
        """What ``read`` gives; None and an error finding if it fails."""
        try:
            return read()
        except MedsegError as error:
            self.add(Severity.ERROR, str(error).removeprefix(f"case {self.case}: "))
            return None


def _examine(files: CaseFiles, dataset: Dataset, joining: Joining) -> _Examined:
    examined = _Examined(files.id)
    joined = examined.attempt(lambda: load_joined(files, dataset.channels, joining))
    image = None if joined is None else joined.volume
    if joined is not None and image is not None:
        examined.grid, examined.is_resampled = image.geometry, bool(joined.moved)
        for channel, lies in joined.moved.items():
            if lies.covered < WELL_COVERED:
                examined.add(Severity.WARNING, f"channel {channel!r} lies off {joining.reference!r}: it {lies}")
        for channel, array in zip(image.channels, image.array, strict=True):
            for message in _intensity_problems(array):
                examined.add(Severity.WARNING, f"channel {channel!r} {message}")
    scheme = dataset.scheme
    label = None if scheme is None else examined.attempt(lambda: load_label(files, scheme, examined.grid))
    if scheme is not None and label is not None:
        _examine_label(examined, image, label, scheme)
    return examined


def _examine_label(examined: _Examined, image: Volume | None, label: Labels, scheme: LabelScheme) -> None:
    if image is not None:
        turned = label.reoriented(image.geometry.axis_codes)
        if not image.geometry.is_close(turned.geometry):
            examined.add(Severity.ERROR, grid_difference(image, turned))
    if scheme.ignore is not None and not isinstance(label, MultiLabelMap):
        examined.ignored_share = float(np.mean(label.array == scheme.ignore))
    present = _present(label, scheme)
    unknown = [value for value in present if isinstance(value, int)]
    if unknown:
        known = dict(zip(scheme.names, scheme.values, strict=True))
        examined.add(Severity.ERROR, f"label values {unknown[:5]} are not in the scheme {known}")
    unions = {region.name: region.structures for region in scheme.regions}
    examined.targets = [name for name in scheme.targets if not {name, *unions.get(name, ())}.isdisjoint(present)]
    if not examined.targets:
        examined.add(Severity.WARNING, "the label is empty: it holds no structure")


def _present(label: Labels, scheme: LabelScheme) -> Sequence[str | int]:
    """Names of the structures in a label, and the values that have none, sorted."""
    if isinstance(label, MultiLabelMap):
        return [name for name, mask in zip(label.structures, label.array, strict=True) if mask.any()]
    names = {one.value: one.name for one in scheme.structures}
    values = sorted(present_values(label.array) - {0, scheme.ignore})
    return [names.get(value, value) for value in values]


def _intensity_problems(array: NDArray[np.generic]) -> Iterator[str]:
    if np.issubdtype(array.dtype, np.floating):
        finite = np.isfinite(array)
        bad = array.size - int(np.count_nonzero(finite))
        if bad:
            yield f"holds {bad} values that are not finite (NaN or infinite)"
            array = array[finite]
    if array.size and array.min() == array.max():
        yield f"is constant: every voxel is {array.flat[0]:g}"


def _split_findings(dataset: Dataset) -> Iterator[Finding]:
    parts = {part: tuple(case.id for case in dataset.cases if case.split == part) for part in _PARTS}
    try:
        check_patients(dataset, Split(*parts.values()))
    except ConfigError as error:
        yield Finding(Severity.ERROR, None, str(error))


def _channel_findings(dataset: Dataset, examined: Sequence[_Examined], reference: str | None) -> Iterator[Finding]:
    for channel, count in dataset.lacking.items():
        lack = f"channel {channel!r} is missing in {count} of {len(dataset.cases)} cases"
        yield Finding(Severity.WARNING, None, f"{lack}; they can take part only if it is `optional`")
    moved = sum(one.is_resampled for one in examined)
    if moved:
        several = f"the channels of {moved} of {len(dataset.cases)} cases lie on several grids"
        yield Finding(Severity.NOTE, None, f"{several}; preprocessing.reference={reference} resamples them")


def _grid_findings(grids: Mapping[CaseId, Geometry]) -> Iterator[Finding]:
    """``grids`` as they are stored."""
    if not grids:
        return
    units = Counter(grid.unit for grid in grids.values())
    if len(units) > 1:
        counts = f"{units[LengthUnit.MM]} cases have millimetres and {units[LengthUnit.PIXEL]} have not"
        yield Finding(Severity.WARNING, None, counts)
    spacings = {case: np.array(grid.reoriented("RAS").spacing) for case, grid in grids.items()}
    median = np.median(list(spacings.values()), axis=0)
    for case, spacing in spacings.items():
        if (np.maximum(spacing / median, median / spacing) > _SPACING_FACTOR).any():
            sizes = " x ".join(f"{size:.3g}" for size in spacing), " x ".join(f"{size:.3g}" for size in median)
            yield Finding(Severity.WARNING, case, f"voxels of {sizes[0]} mm, the median is {sizes[1]} mm")
    codes = Counter(grid.axis_codes for grid in grids.values())
    if len(codes) > 1:
        listed = ", ".join(f"{count} {code}" for code, count in codes.most_common())
        yield Finding(
            Severity.NOTE, None, f"images are stored in {len(codes)} orientations ({listed}); training turns them"
        )


def _label_findings(dataset: Dataset, occurrences: Mapping[str, int]) -> Iterator[Finding]:
    if not dataset.labelled:
        yield Finding(Severity.WARNING, None, "no case has a label")
        return
    for case in dataset.cases:
        if case.label is None:
            yield Finding(Severity.WARNING, case.id, "has no label, so it takes no part in training")
    for name in dataset.scheme.targets if dataset.scheme else ():
        if not occurrences.get(name):
            yield Finding(Severity.WARNING, None, f"structure {name!r} occurs in no label")


def _ignored_findings(examined: Sequence[_Examined]) -> Iterator[Finding]:
    shares = [one.ignored_share for one in examined if one.ignored_share]
    if shares:
        labels = f"{len(shares)} of {len(examined)} labels are to be ignored in part"
        what = f"{np.mean(shares):.0%} of their voxels on average; those count neither in losses nor in scores"
        yield Finding(Severity.NOTE, None, f"{labels}, {what}")
