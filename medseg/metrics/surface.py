"""Distances between surfaces, from the centres of border voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError
from medseg.core.geometry import Box, Spacing

from .nearest import nearest_distances

Mask = NDArray[np.bool_]
SLACK = 1 + 1e-5
"""By how much a distance may exceed one that it is compared with: grids in 32 bits have sides of 1.00000002 mm."""
HD95_DEFINITION = (
    "larger of the two directed 95th percentiles (linear interpolation) of the distances between border voxel centres"
)
POOLED_HD95_DEFINITION = "95th percentile of the distances between border voxel centres, both ways in one list"
ASSD_DEFINITION = "mean of the distances between border voxel centres, both ways in one list"
MASD_DEFINITION = "mean of the two directed mean distances between border voxel centres"
NSD_DEFINITION = "share of border voxels of both surfaces that lie within the tolerance of the other surface"


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """How far each border voxel of one mask is from the nearest border voxel of the other.

    Attributes:
        to_reference: One distance a border voxel of the prediction, in units of the spacing, not sorted.
        to_predicted: One distance a border voxel of the reference.
    """

    to_reference: NDArray[np.float64]
    to_predicted: NDArray[np.float64]


def surface_distances(predicted: Mask, reference: Mask, spacing: Spacing) -> SurfaceDistances:
    """Distances between the surfaces of two masks, both ways.

    A border voxel has at least one of its six face neighbours outside the mask; what lies beyond the volume counts as
    outside. An axis of one voxel is no direction: in a 2D image the border runs in the plane.

    Args:
        predicted: Mask, shape ``(i, j, k)``.
        reference: Mask of the same shape.
        spacing: Voxel size along i, j, k.

    Returns:
        Distances in units of the spacing. If one mask is empty, those from the other are infinite; if both are, there
        are none.

    Raises:
        GeometryError: If the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise GeometryError(f"the masks have different shapes: {predicted.shape} and {reference.shape}")
    box = _joint_box(predicted, reference)
    one, other = border(predicted[box]), border(reference[box])
    return SurfaceDistances(nearest_distances(one, other, spacing), nearest_distances(other, one, spacing))


def border(mask: Mask) -> Mask:
    """Voxels of a mask that have a face neighbour outside it, along the axes that are longer than one voxel."""
    inner = mask.copy(order="K") if max(mask.shape) > 1 else np.zeros_like(mask)
    for axis in range(mask.ndim):
        if mask.shape[axis] == 1:
            continue
        inside, source = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        inside[1:] &= source[:-1]
        inside[:-1] &= source[1:]
        inside[[0, -1]] = False
    return mask & ~inner


def hd95(distances: SurfaceDistances) -> float:
    """95th percentile Hausdorff distance; both masks must hold a voxel.

    The larger of the two directed percentiles with linear interpolation, as in MONAI and MetricsReloaded; tools that
    pool the distances first, or weigh them by area, give other numbers for the same masks.
    """
    return float(max(np.percentile(distances.to_reference, 95), np.percentile(distances.to_predicted, 95)))


def hd(distances: SurfaceDistances) -> float:
    """Hausdorff distance: how far the farthest border voxel is from the other surface; both masks must hold a voxel.

    One stray voxel decides it (Huttenlocher et al., 1993, IEEE TPAMI 15:850).
    """
    return float(max(distances.to_reference.max(), distances.to_predicted.max()))


def pooled_hd95(distances: SurfaceDistances) -> float:
    """95th percentile of both directions in one list, as panoptica and medpy have it: never more than ``hd95``."""
    return float(np.percentile(np.concatenate([distances.to_reference, distances.to_predicted]), 95))


def assd(distances: SurfaceDistances) -> float:
    """Average symmetric surface distance: the mean over the border voxels of both; both masks must hold a voxel.

    The larger surface weighs more; ``masd`` weighs both alike. Libraries mix up the names.
    """
    total = distances.to_reference.sum() + distances.to_predicted.sum()
    return float(total / (distances.to_reference.size + distances.to_predicted.size))


def masd(distances: SurfaceDistances) -> float:
    """Mean average surface distance: the mean of the two directed means; both masks must hold a voxel."""
    return float((distances.to_reference.mean() + distances.to_predicted.mean()) / 2)


def nsd(distances: SurfaceDistances, tolerance: float) -> float:
    """Normalised surface Dice; both masks must hold a voxel.

    Args:
        distances: Between the two surfaces.
        tolerance: Distance that still counts as agreement, in units of the distances.

    References:
        Nikolov et al., 2021, JMIR 23(7):e26151, with border voxels in place of surface elements as in MONAI.
    """
    within = sum(np.count_nonzero(one <= tolerance * SLACK) for one in (distances.to_reference, distances.to_predicted))
    return within / (distances.to_reference.size + distances.to_predicted.size)


def _joint_box(one: Mask, other: Mask) -> Box:
    """Box of both masks with a margin of one voxel, so that axes longer than one voxel stay so."""
    either = one | other
    plane: Mask = np.any(either, axis=0)
    first, second, third = np.any(either, axis=(1, 2)), np.any(plane, axis=1), np.any(plane, axis=0)
    return _extent(first), _extent(second), _extent(third)


def _extent(held: Mask | np.bool_) -> slice:
    places = np.flatnonzero(held)
    first, last = (int(places[0]), int(places[-1])) if places.size else (0, 0)
    return slice(max(0, first - 1), last + 2)
