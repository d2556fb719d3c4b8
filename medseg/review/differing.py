"""Connected parts in which two arrays differ, found in runs of voxels: memory goes with the length of the outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from medseg.core.errors import LabelError

Ints = NDArray[np.int64]
Values = NDArray[np.integer]
Voxel = tuple[int, int, int]
_FEWEST_ALLOWED = 1_000_000


@dataclass(frozen=True, eq=False)
class Runs:
    """Neighbouring voxels of a row in which two arrays differ and each keeps its value.

    Rows go along the axis whose voxels lie together in memory. A place is an index into the flat array with one empty
    row a plane and one empty voxel a row more, so that the end of a row has no neighbour at the beginning of the next.

    Attributes:
        starts: Place of the first voxel; ascending.
        ends: Place after the last voxel.
        one: Value of the one array.
        other: Value of the other.
        size: Rows a plane, and voxels a row.
        corner: Indices of the array's first voxel in the grid.
        is_turned: Whether rows go along the first axis and not along the last.
    """

    starts: Ints
    ends: Ints
    one: Values
    other: Values
    size: tuple[int, int]
    corner: Voxel
    is_turned: bool

    def chosen(self, which: NDArray[np.bool_]) -> Runs:
        """Some of the runs."""
        starts, ends, one, other = self.starts[which], self.ends[which], self.one[which], self.other[which]
        return replace(self, starts=starts, ends=ends, one=one, other=other)


@dataclass(frozen=True)
class Part:
    """A connected part.

    Attributes:
        voxels: How many it has.
        voxel: Of its own, the nearest to its centroid.
    """

    voxels: int
    voxel: Voxel


def differing_runs(one: Values, other: Values, corner: Voxel = (0, 0, 0), ignore: int | None = None) -> Runs:
    """Where two arrays differ.

    Args:
        one: Values, shape ``(i, j, k)``.
        other: Values of the same shape.
        corner: Indices of the first voxel in the grid.
        ignore: Value that stands for no opinion; such voxels do not differ.

    Raises:
        LabelError: If the runs are too many for outlines: more than a sixteenth of the voxels, and than a million.
    """
    one, other, is_turned = row_by_row(one, other)
    planes, rows, columns = one.shape
    most = max(_FEWEST_ALLOWED, one.size // 16)
    found: list[tuple[Ints, Ints, Values, Values]] = []
    total = 0
    for plane in range(planes):
        starts, ends, *values = _runs_of_plane(one[plane], other[plane], ignore)
        total += len(starts)
        if total > most:
            raise LabelError("the outlines differ in more places than outlines can; one of them may be noise")
        offset = plane * (rows + 1) * (columns + 1)
        found.append((starts + offset, ends + offset, values[0], values[1]))
    starts, ends, of_one, of_other = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return Runs(starts, ends, of_one, of_other, (rows, columns), corner, is_turned)


def row_by_row(one: Values, other: Values) -> tuple[Values, Values, bool]:
    """Both arrays with rows that lie together in memory along the last axis, and whether their axes were reversed.

    What NIfTI files hold lies the other way round, and would be walked ten times as slowly. Arrays of two layouts cost
    a copy of the second.
    """
    is_turned = abs(one.strides[0]) < abs(one.strides[2])
    if is_turned:
        one, other = one.T, other.T
    if abs(other.strides[0]) < abs(other.strides[2]):
        other = np.ascontiguousarray(other)
    return one, other, is_turned


def largest_parts(runs: Runs, axes: NDArray[np.float64], most: int, fewest: int = 1) -> Iterator[Part]:
    """The largest connected parts of at least ``fewest`` voxels, largest first.

    Voxels that share a face, an edge or a corner belong together. Parts of one size come in the order of their runs.

    Args:
        runs: Of voxels that differ.
        axes: Steps along the grid's axes in mm, one a column; distances from a centroid are measured by them.
        most: How many parts at most.
        fewest: Voxels that a part has to have.
    """
    if int((runs.ends - runs.starts).sum()) < fewest:
        return
    part_of = _components(runs)
    sizes = np.bincount(part_of, runs.ends - runs.starts).astype(np.int64)
    for part in np.argsort(-sizes, kind="stable")[:most]:
        if sizes[part] < fewest:
            return
        yield Part(int(sizes[part]), _inner_voxel(runs.chosen(part_of == part), axes))


def _runs_of_plane(one: Values, other: Values, ignore: int | None) -> tuple[Ints, Ints, Values, Values]:
    differs = one != other
    if ignore is not None:
        differs &= (one != ignore) & (other != ignore)
    changes = (one[:, 1:] != one[:, :-1]) | (other[:, 1:] != other[:, :-1])
    opens, closes = differs.copy(), differs.copy()
    opens[:, 1:] &= changes | ~differs[:, :-1]
    closes[:, :-1] &= changes | ~differs[:, 1:]
    first, last = (np.flatnonzero(edge) for edge in (opens, closes))
    width = one.shape[1]
    at = np.divmod(first, width)
    return first + first // width, last + last // width + 1, one[at], other[at]


def _components(runs: Runs) -> NDArray[np.int32]:
    """Number of the part that each run belongs to; parts are numbered in the order of their first runs."""
    rows, columns = runs.size
    line, plane = columns + 1, (rows + 1) * (columns + 1)
    tails, heads = [], []
    for step in (0, line, plane - line, plane, plane + line):
        first = np.searchsorted(runs.ends, runs.starts + step, "left")
        last = np.searchsorted(runs.starts, runs.ends + step, "right")
        counts = last - first
        tail = np.repeat(np.arange(len(counts)), counts)
        tails.append(tail)
        heads.append(first[tail] + np.arange(len(tail)) - (np.cumsum(counts) - counts)[tail])
    edges = (np.concatenate(tails), np.concatenate(heads))
    graph = sparse.coo_array((np.ones(len(edges[0]), np.bool_), edges), (len(runs.starts),) * 2)
    _, numbers = connected_components(graph, directed=False)
    _, firsts, part_of = np.unique(numbers, return_index=True, return_inverse=True)
    ranks = np.empty(len(firsts), np.int32)
    ranks[np.argsort(firsts)] = np.arange(len(firsts))
    of_runs: NDArray[np.int32] = ranks[part_of]
    return of_runs


def _inner_voxel(part: Runs, axes: NDArray[np.float64]) -> Voxel:
    rows, columns = part.size
    lengths = part.ends - part.starts
    line, first = np.divmod(part.starts, columns + 1)
    plane, row = np.divmod(line, rows + 1)
    centroid = np.average([plane, row, first + (lengths - 1) / 2], axis=1, weights=lengths)
    column = np.clip(np.round(centroid[2]), first, first + lengths - 1).astype(np.int64)
    voxels = np.stack([plane, row, column])
    steps = axes[:, ::-1] if part.is_turned else axes
    best = int(((steps @ (voxels - centroid[:, np.newaxis])) ** 2).sum(axis=0).argmin())
    found = [int(index) for index in voxels[:, best]]
    i, j, k = reversed(found) if part.is_turned else found
    return i + part.corner[0], j + part.corner[1], k + part.corner[2]
