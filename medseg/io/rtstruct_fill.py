"""The voxels inside contours that lie in the patient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError
from medseg.core.geometry import Box, Geometry, Shape

from .contours import filled_part
from .rtstruct_items import Contours

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_MOST_TILT = 0.25
_ONE_PLANE = 0.05
_TIE = 6

_Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a structure: where it lies in the grid, and which voxels there are inside."""

    box: Box
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Outlined:
    """Closed contours in voxel indices: points, where each contour begins, its bounds, the axis across its planes."""

    points: _Points
    begins: NDArray[np.int64]
    low: _Points
    high: _Points
    axis: int


def pieces(contours: Contours, grid: Geometry) -> tuple[Piece, ...]:
    """The voxels whose centres lie inside the contours; none if there are no contours.

    Contours of one plane are filled by parity, so that one inside another is a hole. A plane belongs to the slice that
    it is nearest to along the normal; several planes that fall on one slice, drawn finer than the grid, are united. A
    slice that no plane falls on stays empty, also between others, drawn coarser than the grid. A single point is the
    voxel that it lies in. What lies outside the grid is cut off. The planes may lie across any axis of the grid.

    Args:
        contours: Of one structure.
        grid: Array axes in any order, oblique or not.

    Raises:
        GeometryError: If the planes are tilted against the slices by more than a quarter of their distance, or all
            contours lie outside the grid.
    """
    closed = _in_voxels(contours.closed, grid)
    single = np.floor(_in_voxels(contours.single, grid) + 0.5)
    outlined = _outlined(closed, contours.lengths, grid) if len(closed) else None
    reaches = [] if outlined is None else [(outlined.low, outlined.high)]
    _check_inside([*reaches, (single, single)], grid)
    found = [] if outlined is None else list(_filled(outlined, grid))
    inside = single[((single >= 0) & (single < grid.shape)).all(axis=1)].astype(np.int64)
    return (*found, *(_voxel(i, j, k) for i, j, k in np.unique(inside, axis=0).tolist()))


def painted(parts: Iterable[Piece], shape: Shape) -> NDArray[np.bool_]:
    """The mask of a structure from its pieces."""
    mask = np.zeros(shape, dtype=np.bool_)
    for part in parts:
        mask[part.box] |= part.mask
    return mask


def _in_voxels(points: _Points, grid: Geometry) -> _Points:
    inverse = np.linalg.inv(grid.affine)
    voxels: _Points = ((points * _LPS_TO_RAS) @ inverse[:3, :3].T + inverse[:3, 3]).round(_TIE)
    return voxels


def _voxel(i: int, j: int, k: int) -> Piece:
    return Piece((slice(i, i + 1), slice(j, j + 1), slice(k, k + 1)), np.ones((1, 1, 1), dtype=np.bool_))


def _outlined(points: _Points, lengths: NDArray[np.int64], grid: Geometry) -> _Outlined:
    begins = np.cumsum(lengths) - lengths
    low, high = np.minimum.reduceat(points, begins), np.maximum.reduceat(points, begins)
    extent = (high - low) * grid.spacing
    axis = int(np.argmin(extent.sum(axis=0)))
    worst = int(np.argmax(extent[:, axis]))
    if (high - low)[worst, axis] > _MOST_TILT:
        across = np.linalg.norm(np.delete(extent[worst], axis))
        angle = np.rad2deg(np.arctan2(extent[worst, axis], across))
        raise GeometryError(
            f"contours are tilted against the slices by about {angle:.1f} degrees ({extent[worst, axis]:.2f} mm over "
            f"{across:.1f} mm); read them on the grid of the series that they were drawn on"
        )
    return _Outlined(points, begins, low, high, axis)


def _check_inside(reaches: list[tuple[_Points, _Points]], grid: Geometry) -> None:
    """Refuse contours of which none reaches the grid, which ends half a voxel beyond the outer centres."""
    low, high = (np.concatenate(bounds) for bounds in zip(*reaches, strict=True))
    beyond = np.maximum(-0.5 - high, low - (np.array(grid.shape) - 0.5)) * grid.spacing
    if len(beyond) and (beyond.max(axis=1) > 0).all():
        raise GeometryError(
            f"all {len(beyond)} contours of a structure lie outside the grid, the nearest by "
            f"{beyond.max(axis=1).min():.1f} mm; they were drawn on another series"
        )


def _filled(outlined: _Outlined, grid: Geometry) -> Iterator[Piece]:
    rows, columns = (axis for axis in range(3) if axis != outlined.axis)
    polygons = np.split(outlined.points[:, [rows, columns]], outlined.begins[1:])
    for place, members in _planes((outlined.low + outlined.high)[:, outlined.axis] / 2):
        if not 0 <= place < grid.shape[outlined.axis]:
            continue
        shape = (grid.shape[rows], grid.shape[columns])
        first, second, mask = filled_part([polygons[member] for member in members], shape)
        if mask.any():
            box = [first, second]
            box.insert(outlined.axis, slice(place, place + 1))
            yield Piece((box[0], box[1], box[2]), np.expand_dims(mask, outlined.axis))


def _planes(depths: _Points) -> Iterator[tuple[int, list[int]]]:
    """Contours at one depth, to a twentieth of a slice, and the slice that the plane is nearest to."""
    order = np.argsort(depths, kind="stable")
    breaks = np.flatnonzero(np.diff(depths[order]) > _ONE_PLANE) + 1
    for members in np.split(order, breaks):
        yield int(np.floor(depths[members].mean().round(_TIE) + 0.5)), members.tolist()
