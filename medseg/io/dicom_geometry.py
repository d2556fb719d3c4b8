"""Where the slices of a series lie, and whether they make one volume. LPS becomes RAS here.

Positions decide everything: order, spacing and gaps come from their projection on the slice normal. SliceThickness and
SpacingBetweenSlices describe the acquisition and not the grid; InstanceNumber is a counter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError, StudyError
from medseg.core.geometry import Geometry

from .dicom_instance import Plane

_SAME_PLACE_MM = 1e-3
_SAME_DIRECTION = 1e-4
_RIGHT_ANGLE = 1e-3
_OFF_GRID = 0.05
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stack:
    """A grid, and where in it each plane goes.

    Attributes:
        geometry: Array axes: i along a row, j down a column, k along the normal.
        places: For each plane, in the order given, its k; a k that no plane has is a gap to fill.
    """

    geometry: Geometry
    places: tuple[int, ...]


@dataclass(frozen=True)
class _Axes:
    """Unit vectors along a row, down a column and through the slices; distance between rows and between columns."""

    row: Floats
    column: Floats
    normal: Floats
    spacing: tuple[float, float]


def stack_planes(planes: Sequence[Plane], *, fill_gaps: bool = False) -> Stack:
    """The grid of one volume, from planes in any order.

    A single plane makes a volume of one slice; its thickness is the only hint of its extent, 1 mm if that is missing.

    Args:
        planes: At least one.
        fill_gaps: Leave places for missing slices instead of refusing; never more than there are slices.

    Raises:
        GeometryError: If slices are missing, doubled, unevenly spaced, tilted, or differ in size or orientation.
        StudyError: If the planes are several volumes at one place.
    """
    axes = _common_axes(planes)
    positions = np.array([plane.position for plane in planes])
    depths = positions @ axes.normal
    order = np.argsort(depths, kind="stable")
    if len(planes) == 1:
        return Stack(_geometry(planes[0], axes, planes[0].thickness or 1.0, 1), (0,))
    _check_doubles(depths[order])
    _check_straight(positions[order], axes)
    steps = _grid_steps(np.diff(depths[order]))
    spacing = float(np.ptp(depths) / steps.sum())
    _check_gaps(steps, spacing, fill_gaps=fill_gaps)
    places = np.empty(len(planes), dtype=np.int64)
    places[order] = np.concatenate(([0], np.cumsum(steps)))
    geometry = _geometry(planes[order[0]], axes, spacing, int(steps.sum()) + 1)
    return Stack(geometry, tuple(places.tolist()))


def _common_axes(planes: Sequence[Plane]) -> _Axes:
    sizes = sorted({(plane.columns, plane.rows) for plane in planes})
    if len(sizes) > 1:
        raise GeometryError(f"slices differ in size: {' and '.join(f'{i} x {j}' for i, j in sizes[:3])} pixels")
    directions = np.array([plane.orientation for plane in planes])
    _check_same_direction(directions)
    spacings = np.array([plane.pixel_spacing for plane in planes])
    if spacings.min() <= 0:
        raise GeometryError("pixel spacing must be positive")
    if (np.abs(spacings - spacings[0]) > _SAME_DIRECTION * spacings[0]).any():
        raise GeometryError(f"slices differ in pixel spacing, from {spacings.min():.4g} to {spacings.max():.4g} mm")
    row, column = directions[0, :3], directions[0, 3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if abs(row @ column) > _RIGHT_ANGLE or abs(lengths[0] - 1) > _RIGHT_ANGLE or abs(lengths[1] - 1) > _RIGHT_ANGLE:
        raise GeometryError("image orientation is not two unit vectors at a right angle")
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    column = column / lengths[1]  # as ITK does: rounded cosines become exactly orthonormal, the column is kept
    return _Axes(np.cross(column, normal), column, normal, (float(spacings[0, 0]), float(spacings[0, 1])))


def _check_same_direction(directions: Floats) -> None:
    if np.abs(directions - directions[0]).max() <= _SAME_DIRECTION:
        return
    normals = np.cross(directions[:, :3], directions[:, 3:])
    angle = np.rad2deg(np.arccos(np.clip(normals @ normals[0], -1, 1)).max())
    count = max(2, len(np.unique(directions.round(3), axis=0)))
    raise GeometryError(
        f"slices of {count} orientations, tilted by up to {angle:.1f} degrees to each other, such as a localizer"
    )


def _check_doubles(depths: Floats) -> None:
    """Refuse slices at one place; ``depths`` is sorted."""
    starts = np.flatnonzero(np.diff(depths, prepend=-np.inf) > _SAME_PLACE_MM)
    counts = np.diff(np.append(starts, len(depths)))
    if counts.max() == 1:
        return
    if counts.min() == counts.max():
        kind = f"{counts[0]} volumes of {len(counts)} slices" if len(counts) > 1 else f"{counts[0]} images of one slice"
        raise StudyError(f"{kind} at one place, such as time points, echoes or image types")
    first = int(np.argmax(counts > 1))
    raise GeometryError(
        f"duplicate slices: {len(depths)} images at {len(counts)} places, "
        f"{counts[first]} of them at slice {first + 1} ({depths[starts[first]] - depths[0]:.1f} mm from the first)"
    )


def _check_straight(positions: Floats, axes: _Axes) -> None:
    """Refuse slices that do not lie one behind the other along the normal; ``positions`` is sorted."""
    offsets = positions - positions[0]
    depths = offsets @ axes.normal
    sideways = offsets - np.outer(depths, axes.normal)
    tolerance = _OFF_GRID * min(axes.spacing)
    shear = np.linalg.norm(sideways[-1])
    strays = np.linalg.norm(sideways - np.outer(depths / depths[-1], sideways[-1]), axis=1)
    worst = int(np.argmax(strays))
    if strays[worst] > tolerance:
        raise GeometryError(f"slice {worst + 1} lies {strays[worst]:.2f} mm beside the line of the first and the last")
    if shear > tolerance:
        angle = np.rad2deg(np.arctan2(shear, depths[-1]))
        raise GeometryError(
            f"slices shift sideways by {shear:.2f} mm over {depths[-1]:.1f} mm, a gantry tilt of {angle:.1f} degrees; "
            "resample the series to upright slices first"
        )


def _grid_steps(distances: Floats) -> NDArray[np.int64]:
    """How many slice spacings lie between neighbours: 1, or more at a gap.

    Raises:
        GeometryError: If a slice lies off the regular grid by more than a twentieth of the spacing.
    """
    usual = float(np.sort(distances)[(len(distances) - 1) // 2])
    steps = np.rint(distances / usual).astype(np.int64)
    spacing = distances.sum() / max(1, steps.sum())
    errors = np.abs(np.cumsum(distances) - spacing * np.cumsum(steps))
    if steps.min() < 1 or errors.max() > _OFF_GRID * spacing:
        worst = int(np.argmax(np.abs(distances - usual * np.maximum(steps, 1))))
        raise GeometryError(
            f"slices are unevenly spaced: {distances[worst]:.2f} mm between slices {worst + 1} and {worst + 2}, "
            f"{usual:.2f} mm between most"
        )
    return steps


def _check_gaps(steps: NDArray[np.int64], spacing: float, *, fill_gaps: bool) -> None:
    missing, present = int(steps.sum()) - len(steps), len(steps) + 1
    if missing == 0:
        return
    first = int(np.argmax(steps > 1))
    gap = (
        f"{missing} of {missing + present} slices missing "
        f"(gap of {steps[first] * spacing:.1f} mm after slice {first + 1}, spacing {spacing:.1f} mm)"
    )
    if not fill_gaps:
        raise GeometryError(f"{gap}; with fill_gaps they are interpolated")
    if missing > present:
        raise GeometryError(f"{gap}; more are missing than there are, too many to interpolate")


def _geometry(first: Plane, axes: _Axes, spacing: float, slices: int) -> Geometry:
    affine = np.eye(4)
    affine[:3, 0] = axes.row * axes.spacing[1]
    affine[:3, 1] = axes.column * axes.spacing[0]
    affine[:3, 2] = axes.normal * spacing
    affine[:3, 3] = first.position
    return Geometry((first.columns, first.rows, slices), _LPS_TO_RAS @ affine)
