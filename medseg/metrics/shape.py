"""Size and shape of a structure, under the definitions of pyradiomics.

Its mesh of marching cubes leaves open what happens where voxels meet only at an edge or a corner, and answers by the
order of the array's axes; here the answer is the same whichever way the array is turned (``metrics.cells``). Masks
without such places give the same numbers to all digits; the largest differences on its five test cases are 0.1 % of the
surface and 0.04 % of the volume.

References:
    van Griethuysen et al., 2017, Cancer Research 77:e104; the definitions of pyradiomics 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from medseg.core.geometry import Geometry, LengthUnit

from .cells import corner_codes, inside_shares, surface_sizes

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
_ROWS = 1000


@dataclass(frozen=True)
class MaskShape:
    """Size and shape of a mask, in mm and mL (in pixels where the image has no spacing).

    Where there is nothing to measure a value is NaN: all but ``voxels`` and the volumes of an empty mask, what needs a
    third axis in 2D, what needs a second axis in an image of one row.

    Attributes:
        voxels: How many it has.
        volume: Voxels times the volume of one.
        mesh_volume: Volume inside the surface, mostly a little less; in 2D the area times the thickness of the slice.
        surface: Area of the surface in square units; in 2D the length of the outline.
        sphericity: Surface of the ball of the same volume, over the surface; 1 for a ball (in 2D a disc), less for all
            else.
        major_axis: Length of the longest axis of the ellipsoid with the same second moments: four standard deviations
            of the voxels along it.
        minor_axis: Of the second axis.
        least_axis: Of the third.
        elongation: Second over longest axis, 1 if they are the same.
        flatness: Third over longest axis.
        diameter: Largest distance between two points of the surface (maximum 3D diameter, in 2D of the outline).
        centroid: Mean of the voxel centres in RAS space.
    """

    voxels: int
    volume: float
    mesh_volume: float
    surface: float
    sphericity: float
    major_axis: float
    minor_axis: float
    least_axis: float
    elongation: float
    flatness: float
    diameter: float
    centroid: tuple[float, float, float]


def shape_of(mask: Mask, grid: Geometry) -> MaskShape:
    """Size and shape of a mask; its outermost voxels along axes longer than one voxel may touch the edge.

    Args:
        mask: Shape ``(i, j, k)``; an axis of one voxel is no direction.
        grid: Where it lies; oblique and sheared grids are measured as they lie.
    """
    millilitre = 1000.0 if grid.unit is LengthUnit.MM else 1.0
    voxels = int(np.count_nonzero(mask))
    if voxels == 0:
        lacking = dict.fromkeys(_MEASURED, math.nan)
        return MaskShape(voxels=0, volume=0.0, mesh_volume=0.0, centroid=(math.nan,) * 3, **lacking)
    axes = [axis for axis, n in enumerate(mask.shape) if n > 1]
    edges = grid.affine[:3, axes]
    flat = mask.reshape([mask.shape[axis] for axis in axes])
    centre, lengths = _moments(mask, grid)
    inside, surface = _mesh(flat, edges) if len(axes) > 1 else (math.nan, math.nan)
    return MaskShape(
        voxels=voxels,
        volume=voxels * grid.voxel_volume / millilitre,
        mesh_volume=inside * grid.voxel_volume / millilitre,
        surface=surface,
        sphericity=_sphericity(inside, surface, edges),
        **_axes(lengths[: len(axes)]),
        diameter=_diameter(flat, edges) if len(axes) > 1 else math.nan,
        centroid=centre,
    )


_MEASURED = (
    "surface",
    "sphericity",
    "major_axis",
    "minor_axis",
    "least_axis",
    "elongation",
    "flatness",
    "diameter",
)


def _moments(mask: Mask, grid: Geometry) -> tuple[tuple[float, float, float], Floats]:
    """Centre in space, and the lengths of the axes of the ellipsoid with the same second moments, longest first."""
    places = [np.arange(n, dtype=np.float64) for n in mask.shape]
    sums = {(0, 1): mask.sum(axis=2), (0, 2): mask.sum(axis=1), (1, 2): mask.sum(axis=0)}
    along = [sums[0, 1].sum(axis=1), sums[0, 1].sum(axis=0), sums[0, 2].sum(axis=0)]
    voxels = along[0].sum()
    centre = np.array([place @ count / voxels for place, count in zip(places, along, strict=True)])
    offsets = [place - middle for place, middle in zip(places, centre, strict=True)]
    spread = np.diag([offset**2 @ count for offset, count in zip(offsets, along, strict=True)])
    for (first, second), count in sums.items():
        spread[first, second] = spread[second, first] = offsets[first] @ count @ offsets[second]
    edges = grid.affine[:3, :3]
    values = np.linalg.eigvalsh(edges @ spread @ edges.T / voxels)[::-1]
    right, front, top = (edges @ centre + grid.affine[:3, 3]).tolist()
    return (right, front, top), 4 * np.sqrt(np.maximum(values, 0))


def _axes(lengths: Floats) -> dict[str, float]:
    """Lengths of the axes and their ratios; lengths may be fewer than three."""
    major, minor, least = np.append(lengths, [math.nan] * (3 - len(lengths))).tolist()
    ratios = (minor / major, least / major) if major > 0 else (math.nan, math.nan)
    return {
        "major_axis": major,
        "minor_axis": minor,
        "least_axis": least,
        "elongation": ratios[0],
        "flatness": ratios[1],
    }


def _mesh(mask: Mask, edges: Floats) -> tuple[float, float]:
    """What lies inside the surface, in voxels, and the size of the surface."""
    counts = np.bincount(corner_codes(mask).reshape(-1), minlength=2 ** (2**mask.ndim))
    return float(counts @ inside_shares(mask.ndim)), float(counts @ surface_sizes(edges))


def _sphericity(inside: float, surface: float, edges: Floats) -> float:
    """Of something that fills so many voxels (pixels in 2D) within a surface (an outline)."""
    size = inside * math.sqrt(np.linalg.det(edges.T @ edges))
    if edges.shape[1] == 2:
        return 2 * math.sqrt(math.pi * size) / surface
    return float(np.cbrt(36 * math.pi * size**2)) / surface


def _diameter(mask: Mask, edges: Floats) -> float:
    """Largest distance between points halfway from a voxel inside to a neighbour outside."""
    points = np.concatenate([_ends(mask, axis) for axis in range(mask.ndim)]) @ np.linalg.qr(edges)[1].T
    corners = points[ConvexHull(points).vertices]
    rows = (corners[start : start + _ROWS] for start in range(0, len(corners), _ROWS))
    return max(float(cdist(some, corners).max()) for some in rows)


def _ends(mask: Mask, axis: int) -> Floats:
    """Where lines along an axis enter the mask first and leave it last, in voxels."""
    lines = np.moveaxis(mask, axis, 0)
    held = np.argwhere(lines.any(axis=0))
    first = lines.argmax(axis=0)[tuple(held.T)] - 0.5
    last = len(lines) - lines[::-1].argmax(axis=0)[tuple(held.T)] - 0.5
    return np.concatenate([np.insert(held.astype(np.float64), axis, place, axis=1) for place in (first, last)])
