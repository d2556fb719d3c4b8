"""Where the frames of a segmentation go on a grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError, ReadError
from medseg.core.geometry import AxisMap, Geometry

from .dicom_encoding import MAX_VOXELS
from .dicom_geometry import stack_planes
from .dicom_instance import Plane

Floats = NDArray[np.float64]
Place = tuple[int, slice, slice]
"""Index of a frame in an array of shape ``(k, j, i)``."""
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_SAME_PLACE_MM = 1e-3
_OFF_GRID_VOXELS = 0.1
_OFF_GRID_STEPS = 0.05


@dataclass(frozen=True, eq=False)
class FramePlanes:
    """The frames in the patient, in LPS millimetres as DICOM says it (PS3.3 section C.7.6.2).

    Attributes:
        rows: Pixels down each frame.
        columns: Pixels across.
        positions: Centre of the first pixel, shape ``(frames, 3)``.
        orientations: Direction along a row, then down a column, shape ``(frames, 6)``.
        pixel_spacings: Distance between rows, then between columns, shape ``(frames, 2)``.
        thickness: Of the slices, if it is said.
        distance: Between slices that follow each other, if it is said.
    """

    rows: int
    columns: int
    positions: Floats
    orientations: Floats
    pixel_spacings: Floats
    thickness: float | None
    distance: float | None


@dataclass(frozen=True, eq=False)
class Placement:
    """Frames on a grid.

    Attributes:
        grid: What the result lies on.
        axes: From an array along the frames, ``(i, j, k)`` with i along a row, to one on the grid.
        shape: Of the array along the frames, as ``(k, j, i)``.
        first: The index of each frame's first pixel, ``(i, j, k)``, shape ``(frames, 3)``.
        rows: Pixels down each frame.
        columns: Pixels across.
    """

    grid: Geometry
    axes: AxisMap
    shape: tuple[int, int, int]
    first: NDArray[np.int64]
    rows: int
    columns: int

    def __iter__(self) -> Iterator[Place]:
        for i, j, k in self.first.tolist():
            yield k, slice(j, j + self.rows), slice(i, i + self.columns)

    @property
    def has_doubles(self) -> bool:
        """Whether two frames lie at one place."""
        return len(np.unique(self.first, axis=0)) < len(self.first)


def place_frames(planes: FramePlanes, grid: Geometry | None) -> Placement:
    """The places of the frames on ``grid``, whose axes may be in another order and direction than theirs.

    Args:
        planes: The frames.
        grid: None for the grid that the frames span: regular, along their normal, with what lies between them.

    Raises:
        GeometryError: If a frame is off the grid by more than a tenth of a voxel, or lies outside it.
        ReadError: If the grid that they span is larger than the limit.
    """
    with np.errstate(all="ignore"):  # absurd lengths become infinite, and are refused as off the grid
        grid = grid or _spanned(planes)
        axes = axes_towards(grid, _directions(planes))
        along = grid.mapped(axes)
        first = _first_voxels(planes, along)
    inside = np.array(along.shape) - np.array([planes.columns, planes.rows, 1])
    outside = np.flatnonzero(((first < 0) | (first > inside)).any(axis=1))
    if len(outside):
        raise GeometryError(
            f"{len(outside)} of {len(first)} frames of a segmentation lie outside the grid of shape {grid.shape}; "
            "give the grid of its source series, or none"
        )
    columns, rows, slices = along.shape
    return Placement(grid, axes.inverse, (slices, rows, columns), first.astype(np.int64), planes.rows, planes.columns)


def _spanned(planes: FramePlanes) -> Geometry:
    """The regular grid of the frames, which may have gaps."""
    plane = Plane(
        rows=planes.rows,
        columns=planes.columns,
        position=tuple(planes.positions[0].tolist()),
        orientation=tuple(planes.orientations[0].tolist()),
        pixel_spacing=tuple(planes.pixel_spacings[0].tolist()),
        thickness=planes.distance or planes.thickness,
        slope=1.0,
        intercept=0.0,
    )
    single = stack_planes([plane]).geometry
    normal = single.affine[:3, 2] / np.linalg.norm(single.affine[:3, 2])
    depths = (planes.positions - planes.positions[0]) * _LPS_TO_RAS @ normal
    spacing, slices = _steps(np.unique(depths), planes.distance)
    columns, rows, _ = single.shape
    if columns * rows * slices > MAX_VOXELS:
        raise ReadError(f"the grid that a segmentation spans is larger than the limit of {MAX_VOXELS} voxels")
    affine = single.affine.copy()
    if spacing is not None:
        affine[:3, 2] = normal * spacing
    affine[:3, 3] += normal * depths.min()
    return Geometry((columns, rows, slices), affine)


def _steps(depths: Floats, distance: float | None) -> tuple[float | None, int]:
    """Distance between slices, None if there is but one, and how many there are with those that are missing."""
    gaps = np.diff(depths)
    gaps = gaps[gaps > _SAME_PLACE_MM]
    if not len(gaps):
        return None, 1
    extent = float(gaps.sum())
    for step in (distance, float(gaps.min())):
        if step is None or extent / step > MAX_VOXELS:
            continue
        steps = np.rint(gaps / step)
        if steps.min() >= 1 and np.abs(np.cumsum(gaps) / step - np.cumsum(steps)).max() <= _OFF_GRID_STEPS * len(gaps):
            return extent / float(steps.sum()), int(steps.sum()) + 1
    raise GeometryError(
        f"slices of a segmentation are unevenly spaced, from {gaps.min():.2f} to {gaps.max():.2f} mm; "
        "give the grid of its source series"
    )


def axes_towards(grid: Geometry, directions: Floats) -> AxisMap:
    """The map that brings the grid's axes, in order and sign, nearest to three directions.

    Args:
        grid: Of an array.
        directions: In RAS, one a column.

    Raises:
        GeometryError: If one axis is nearest to two of them.
    """
    mine = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    shares = np.linalg.inv(mine) @ directions
    order = np.abs(shares).argmax(axis=0).tolist()
    if sorted(order) != [0, 1, 2]:
        raise GeometryError("a segmentation lies askew to the grid; resample one to the other first")
    flips = [bool(shares[axis, target] < 0) for target, axis in enumerate(order)]
    return AxisMap((order[0], order[1], order[2]), (flips[0], flips[1], flips[2]))


def _directions(planes: FramePlanes) -> Floats:
    """Along a row, down a column and through the frames, one a column, in RAS."""
    row, column = planes.orientations[0, :3] * _LPS_TO_RAS, planes.orientations[0, 3:] * _LPS_TO_RAS
    return np.stack([row, column, np.cross(row, column)], axis=1)


def _first_voxels(planes: FramePlanes, along: Geometry) -> Floats:
    """Index of each frame's first pixel, ``(i, j, k)``, whole numbers; its last row and column are checked too."""
    across = planes.orientations[:, :3] * planes.pixel_spacings[:, 1:] * (planes.columns - 1)
    down = planes.orientations[:, 3:] * planes.pixel_spacings[:, :1] * (planes.rows - 1)
    to_index = np.linalg.inv(along.affine)
    first = (planes.positions * _LPS_TO_RAS) @ to_index[:3, :3].T + to_index[:3, 3]
    nearest: Floats = np.rint(first)
    corners = ((0 * across, (0, 0, 0)), (across, (planes.columns - 1, 0, 0)), (down, (0, planes.rows - 1, 0)))
    strays = np.stack(
        [first + (offset * _LPS_TO_RAS) @ to_index[:3, :3].T - nearest - expected for offset, expected in corners]
    )
    if not np.abs(strays).max() <= _OFF_GRID_VOXELS:  # which NaN is not either
        worst = np.linalg.norm(strays @ along.affine[:3, :3].T, axis=-1).max()
        raise GeometryError(
            f"frames of a segmentation lie up to {worst:.2f} mm beside the voxels of the grid, of spacing "
            f"{' x '.join(f'{size:.3g}' for size in along.spacing)} mm; resample one to the other first"
        )
    return nearest
