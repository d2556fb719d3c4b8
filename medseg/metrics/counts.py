"""Voxels counted once per case; every overlap score follows from these numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError, LabelError
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels, MultiLabelMap

_CHUNK = 1 << 16
_LARGEST_VALUE = (1 << 16) - 1


@dataclass(frozen=True, eq=False)
class VoxelCounts:
    """Voxels per target (a region if the scheme has regions, else a structure); shape ``(target,)`` each.

    Counts of cases, patches or processes add up.

    Attributes:
        tp: In the prediction and in the reference.
        fp: In the prediction only.
        fn: In the reference only.
        tn: In neither.
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]

    def __add__(self, other: VoxelCounts) -> VoxelCounts:
        return VoxelCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Voxels of the prediction."""
        return self.tp + self.fp

    @property
    def reference(self) -> NDArray[np.int64]:
        """Voxels of the reference."""
        return self.tp + self.fn

    @property
    def union(self) -> NDArray[np.int64]:
        """Voxels of either."""
        return self.tp + self.fp + self.fn


def count_voxels(predicted: Labels, reference: Labels, scheme: LabelScheme) -> VoxelCounts:
    """Counts for each of the scheme's targets.

    Voxels that either side marks with the scheme's ignore value are left out.

    Raises:
        GeometryError: If the grids differ.
        LabelError: If a value or a structure is not in the scheme.
    """
    check_grids(predicted, reference)
    if isinstance(predicted, LabelMap) and isinstance(reference, LabelMap):
        return counts_from_matrix(confusion_matrix(predicted, reference, scheme), scheme)
    return _from_masks(predicted, reference, scheme)


def check_grids(predicted: Labels, reference: Labels) -> None:
    """Make sure that both lie on one grid.

    Raises:
        GeometryError: If they do not; it says how they differ.
    """
    if not predicted.geometry.is_close(reference.geometry):
        difference = grid_difference(predicted, reference, "prediction and reference")
        raise GeometryError(f"{difference}; bring the prediction to the reference's grid")


def check_values(labels: Labels, scheme: LabelScheme, side: str) -> None:
    """Make sure that a label map holds no value that the scheme lacks; masks go by names and have none.

    Raises:
        LabelError: If it does; the message calls the label map ``side``.
    """
    if isinstance(labels, LabelMap) and not set(np.unique(labels.array).tolist()) <= _known_values(scheme):
        raise _unknown_values(side, labels, scheme)


def confusion_matrix(predicted: LabelMap, reference: LabelMap, scheme: LabelScheme) -> NDArray[np.int64]:
    """Voxels by what was predicted (rows) and what is true (columns).

    A joint histogram in chunks that fit the processor's cache; voxels that both sides leave empty are only counted.

    Returns:
        Shape ``(1 + n, 1 + n)``: background, then the scheme's structures in order. Ignored voxels are left out.

    Raises:
        LabelError: If a value is not in the scheme.
    """
    table = _class_table(scheme)
    width = len(scheme.structures) + 3  # background, structures, ignored, unknown
    lines = table * width
    one, other = predicted.array, reference.array
    if one.flags.f_contiguous and other.flags.f_contiguous:
        one, other = one.T, other.T
    rows, columns = one.ravel(), other.ravel()
    joint = np.zeros(width * width, dtype=np.int64)
    for start in range(0, rows.size, _CHUNK):
        row, column = rows[start : start + _CHUNK], columns[start : start + _CHUNK]
        seen = np.flatnonzero((row != 0) | (column != 0))
        joint[0] += row.size - seen.size
        pairs = _classes(row.take(seen), lines)
        pairs += _classes(column.take(seen), table)
        joint += np.bincount(pairs, minlength=width * width)
    matrix = joint.reshape(width, width)
    for side, labels, unknown in (("prediction", predicted, matrix[-1]), ("reference", reference, matrix[:, -1])):
        if unknown.any():
            raise _unknown_values(side, labels, scheme)
    return matrix[:-2, :-2]


def target_mask(labels: Labels, scheme: LabelScheme, target: str) -> NDArray[np.bool_]:
    """Mask of one target.

    Raises:
        LabelError: If a multi-label map holds neither the target nor its structures.
    """
    if isinstance(labels, MultiLabelMap) and target not in labels.structures:
        missing = set(members(scheme, target)) - set(labels.structures)
        if missing:
            raise LabelError(f"no mask of {min(missing)!r}; there are {', '.join(map(repr, labels.structures))}")
    return scheme.mask(labels, target)


def ignored_mask(predicted: Labels, reference: Labels, scheme: LabelScheme) -> NDArray[np.bool_] | None:
    """Voxels that either side marks with the ignore value; None if the scheme has none."""
    if scheme.ignore is None:
        return None
    ignored = np.zeros(predicted.geometry.shape, dtype=np.bool_)
    for labels in (predicted, reference):
        if isinstance(labels, LabelMap):
            ignored |= labels.array == scheme.ignore
    return ignored


def members(scheme: LabelScheme, target: str) -> tuple[str, ...]:
    """The structures that make up a target."""
    return next((region.structures for region in scheme.regions if region.name == target), (target,))


def counts_from_matrix(matrix: NDArray[np.int64], scheme: LabelScheme) -> VoxelCounts:
    """Counts for each of the scheme's targets from a confusion matrix of its structures."""
    row_of = {name: row for row, name in enumerate(scheme.names, start=1)}
    tp, predicted, reference = (np.zeros(len(scheme.targets), dtype=np.int64) for _ in range(3))
    for index, target in enumerate(scheme.targets):
        rows = [row_of[name] for name in members(scheme, target)]
        tp[index] = matrix[np.ix_(rows, rows)].sum()
        predicted[index] = matrix[rows].sum()
        reference[index] = matrix[:, rows].sum()
    return VoxelCounts(tp, predicted - tp, reference - tp, matrix.sum() - predicted - reference + tp)


def _from_masks(predicted: Labels, reference: Labels, scheme: LabelScheme) -> VoxelCounts:
    for side, labels in (("prediction", predicted), ("reference", reference)):
        check_values(labels, scheme, side)
    ignored = ignored_mask(predicted, reference, scheme)
    counted = np.ones(predicted.geometry.shape, dtype=np.bool_) if ignored is None else ~ignored
    total = np.count_nonzero(counted)
    rows = []
    for target in scheme.targets:
        one = target_mask(predicted, scheme, target) & counted
        other = target_mask(reference, scheme, target) & counted
        tp, in_one, in_other = (np.count_nonzero(mask) for mask in (one & other, one, other))
        rows.append((tp, in_one - tp, in_other - tp, total - in_one - in_other + tp))
    return VoxelCounts(*np.array(rows, dtype=np.int64).T)


def _class_table(scheme: LabelScheme) -> NDArray[np.intp]:
    values = [0, *scheme.values]
    # The last entry stands for values out of range.
    table = np.full(_LARGEST_VALUE + 2, len(values) + 1, dtype=np.intp)
    table[values] = np.arange(len(values))
    if scheme.ignore is not None:
        table[scheme.ignore] = len(values)
    return table


def _classes(chunk: NDArray[np.integer], table: NDArray[np.intp]) -> NDArray[np.intp]:
    if chunk.dtype not in (np.uint8, np.uint16):
        wide = chunk.astype(np.int64)
        chunk = np.where((wide < 0) | (wide > _LARGEST_VALUE), _LARGEST_VALUE + 1, wide)
    return table.take(chunk)


def _known_values(scheme: LabelScheme) -> set[int | None]:
    return {0, scheme.ignore, *scheme.values}


def _unknown_values(side: str, labels: LabelMap, scheme: LabelScheme) -> LabelError:
    unknown = sorted(set(np.unique(labels.array).tolist()) - _known_values(scheme))
    shown = ", ".join(map(str, unknown[:5])) + (", …" if len(unknown) > 5 else "")
    known = ", ".join(f"{one.value} {one.name}" for one in scheme.structures)
    return LabelError(f"the {side} holds label values that the scheme lacks: {shown}; it has {known}")
