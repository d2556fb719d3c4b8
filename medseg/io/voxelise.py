"""Which voxel centres a closed surface encloses: parity of its crossings along the third axis.

Vertices are rounded to 1/16384 of a voxel and what decides is computed in whole numbers, ties broken as if the ray lay
a hair towards larger indices (Edelsbrunner and Mücke, 1990, ACM Transactions on Graphics 9(1):66). So each ray crosses
a closed surface an even number of times, whatever edge or vertex it meets.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError
from medseg.core.geometry import Geometry

from .nrrd import LPS_TO_RAS

_UNIT = 2**14
_FARTHEST = 2**14
_AT_ONCE = 2**20
_MOST_CANDIDATES = 2**29

Ints = NDArray[np.int64]


def enclosed_voxels(corners: NDArray[np.float64], grid: Geometry) -> NDArray[np.bool_]:
    """Mask, shape ``(i, j, k)``, of the centres inside.

    Args:
        corners: Of the triangles, LPS mm, shape ``(m, 3, 3)``: triangle, corner, coordinate; in any order.
        grid: The grid of the mask.

    Raises:
        GeometryError: If the surface is not closed, not finite, too far away or too tangled.
    """
    affine = np.linalg.inv(LPS_TO_RAS @ grid.affine)
    indices = corners @ affine[:3, :3].T + affine[:3, 3]
    if not np.isfinite(indices).all():
        raise GeometryError("holds a coordinate that is not finite")
    farthest = float(np.abs(indices).max(initial=0))
    if farthest > _FARTHEST:
        raise GeometryError(f"lies {farthest:.0f} voxels away from the grid; is it in mm, and of this patient?")
    whole = np.rint(indices * _UNIT).astype(np.int64)
    _check_closed(whole)
    inside = np.zeros((*grid.shape[:2], grid.shape[2] + 1), dtype=np.uint8)
    for columns, heights in _crossings(whole, grid.shape[:2]):
        starts = np.clip(-(-heights // _UNIT), 0, grid.shape[2])  # rounded up: a centre on the surface lies behind it
        np.add.at(inside.reshape(-1), columns * inside.shape[2] + starts, 1)
    np.bitwise_xor.accumulate(inside & 1, axis=2, out=inside)
    mask: NDArray[np.bool_] = inside[:, :, :-1].astype(np.bool_)
    return mask


def _check_closed(corners: Ints) -> None:
    """Each edge belongs to an even number of triangles; those of no area do not count."""
    names = _vertex_numbers(corners.reshape(-1, 3)).reshape(-1, 3)
    edges = np.concatenate([names[:, [0, 1]], names[:, [1, 2]], names[:, [2, 0]]])
    edges = np.sort(edges[edges[:, 0] != edges[:, 1]], axis=1)
    _, counts = np.unique(edges[:, 0] * (int(names.max(initial=0)) + 1) + edges[:, 1], return_counts=True)
    gaps = int((counts % 2).sum())
    if gaps:
        raise GeometryError(f"is not closed: {gaps} edges border a hole; fill holes before")


def _vertex_numbers(points: Ints) -> Ints:
    """One number for each place; two sorts of one column are faster than one of rows."""
    span = 2 * _FARTHEST * _UNIT + 1
    shifted = points + _FARTHEST * _UNIT
    _, in_plane = np.unique(shifted[:, 0] * span + shifted[:, 1], return_inverse=True)
    _, numbers = np.unique(in_plane.astype(np.int64) * span + shifted[:, 2], return_inverse=True)
    return numbers.astype(np.int64)


def _crossings(corners: Ints, shape: tuple[int, int]) -> Iterator[tuple[Ints, Ints]]:
    """In parts: flat numbers of the columns ``(i, j)`` that triangles cross, and at which k, in 1/16384 voxel."""
    low = np.maximum(-(-corners[:, :, :2].min(axis=1) // _UNIT), 0)
    high = np.minimum(corners[:, :, :2].max(axis=1) // _UNIT, np.array(shape) - 1)
    widths = np.maximum(high - low + 1, 0)
    counts = widths[:, 0] * widths[:, 1]
    total = int(counts.sum())
    if total > _MOST_CANDIDATES:
        raise GeometryError(f"has triangles so large and many that {total} crossings would have to be looked at")
    ends = np.cumsum(counts)
    for start in range(0, total, _AT_ONCE):
        flat = np.arange(start, min(start + _AT_ONCE, total))
        owners = np.searchsorted(ends, flat, side="right")
        steps = flat - (ends - counts)[owners]
        columns = low[owners] + np.stack(np.divmod(steps, widths[owners, 1]), axis=1)
        hit, heights = _hits(corners[owners], columns * _UNIT)
        yield columns[hit, 0] * shape[1] + columns[hit, 1], heights


def _hits(corners: Ints, points: Ints) -> tuple[NDArray[np.bool_], Ints]:
    """Whether the line through each point along k crosses its triangle, and the k of those that do."""
    weights = np.empty((len(points), 3), dtype=np.int64)
    signs = np.empty((len(points), 3), dtype=np.int64)
    for corner in range(3):
        start, stop = corners[:, (corner + 1) % 3, :2], corners[:, (corner + 2) % 3, :2]
        along, out = stop - start, points - start
        weights[:, corner] = along[:, 0] * out[:, 1] - along[:, 1] * out[:, 0]
        tie = np.where(along[:, 1] != 0, -along[:, 1], along[:, 0])
        signs[:, corner] = np.sign(np.where(weights[:, corner] != 0, weights[:, corner], tie))
    hit = (signs[:, 0] != 0) & (signs[:, 0] == signs[:, 1]) & (signs[:, 0] == signs[:, 2])
    parts = weights[hit].astype(np.float64)
    heights = (parts * corners[hit, :, 2]).sum(axis=1) / parts.sum(axis=1)
    return hit, np.rint(heights).astype(np.int64)
