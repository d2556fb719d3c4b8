"""An image on any other grid in the same patient, by where its voxels lie."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.core.geometry import Geometry

from .normalize import finite_values
from .resample import coarse_axis

_HALF_VOXEL = 0.5 + 1e-6


def regridded(channel: NDArray[np.generic], grid: Geometry, target: Geometry) -> NDArray[np.float32]:
    """One channel on another grid, interpolated at the place of each voxel.

    Cubic B-splines, or linear interpolation where one grid has slices more than three times as far apart as its voxels.
    Voxels beyond the image get its smallest finite value, as do values that are not finite. Nothing is smoothed, so
    fine structures may alias on a much coarser grid, as in all of medseg's resampling.

    Args:
        channel: Voxels, shape ``(i, j, k)``, any real dtype; not changed.
        grid: Where they lie.
        target: Where they are wanted; it may be turned, flipped, shifted and of another spacing.

    Returns:
        New array of the target's shape.
    """
    values = finite_values(channel)
    least = values.min()
    order: Literal[1, 3] = 3 if coarse_axis(grid.spacing, target.spacing) is None else 1
    if order == 3:
        values = ndimage.spline_filter(values, order, output=np.float32, mode="mirror")
    steps = np.linalg.inv(grid.affine) @ target.affine
    j, k = np.indices(target.shape[1:], dtype=np.float64)
    result = np.empty(target.shape, np.float32)
    for i, plane in enumerate(result):  # the positions of all voxels at once would take six times the image
        places = steps[:3, :1, None] * i + steps[:3, 1:2, None] * j + steps[:3, 2:3, None] * k + steps[:3, 3:, None]
        ndimage.map_coordinates(values, _clipped(places, grid), plane, order, mode="mirror", prefilter=False)
        plane[~_inside(places, grid)] = least
    return result


def covered_share(grid: Geometry, target: Geometry, points: int = 24) -> float:
    """Share of the target's volume that lies inside a grid, outer voxel faces included; by points spread evenly.

    Args:
        grid: What covers.
        target: What is covered.
        points: Along each axis of the target.
    """
    along = [(np.arange(points) + 0.5) / points * n - 0.5 for n in target.shape]
    places = np.stack(np.meshgrid(*along, indexing="ij")).reshape(3, -1)
    steps = np.linalg.inv(grid.affine) @ target.affine
    return float(_inside(steps[:3, :3] @ places + steps[:3, 3:], grid).mean())


def _inside(places: NDArray[np.float64], grid: Geometry) -> NDArray[np.bool_]:
    most = _broadcastable(np.array(grid.shape) - 1 + _HALF_VOXEL, places)
    inside: NDArray[np.bool_] = np.logical_and.reduce((places >= -_HALF_VOXEL) & (places <= most))
    return inside


def _clipped(places: NDArray[np.float64], grid: Geometry) -> NDArray[np.float64]:
    return places.clip(0, _broadcastable(np.array(grid.shape) - 1.0, places))


def _broadcastable(numbers: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    return numbers.reshape(3, *[1] * (places.ndim - 1))
