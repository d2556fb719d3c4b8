"""Distances between surfaces made of elements with an area, as surface-distance of DeepMind defines them.

An element sits on each corner of the voxel grid whose neighbours are partly inside; its area follows from which of the
eight (in 2D four) are. Distances of border voxels, as ``metrics.surface`` has them, give other numbers for the same
masks: two single pixels 2 mm apart agree by half at a tolerance of 1 mm here, and not at all there.

References:
    Nikolov et al., 2021, JMIR 23(7):e26151.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError
from medseg.core.geometry import Spacing

from .boxes import value_boxes
from .cells import corner_codes, surface_sizes
from .nearest import nearest_distances
from .surface import SLACK

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
SURFEL_DEFINITION = "surface elements on voxel corners, weighed by their area"


@dataclass(frozen=True, eq=False)
class SurfelDistances:
    """How far each surface element of one mask is from the other surface, the nearest first.

    Attributes:
        to_reference: Of each element of the prediction, in units of the spacing.
        predicted_areas: Its area (length in 2D).
        to_predicted: Of each element of the reference.
        reference_areas: Its area (length in 2D).
    """

    to_reference: Floats
    predicted_areas: Floats
    to_predicted: Floats
    reference_areas: Floats


def surfel_distances(predicted: Mask, reference: Mask, spacing: Spacing) -> SurfelDistances:
    """Distances between the surfaces of two masks, both ways.

    Args:
        predicted: Mask, shape ``(i, j, k)``; if one axis has one voxel, the masks are 2D.
        reference: Mask of the same shape.
        spacing: Voxel size along i, j, k.

    Returns:
        Distances in units of the spacing; infinite from one side if the other is empty, none if both are.

    Raises:
        GeometryError: If the shapes differ, or more than one axis has one voxel.
    """
    if predicted.shape != reference.shape:
        raise GeometryError(f"the masks have different shapes: {predicted.shape} and {reference.shape}")
    axes = [axis for axis, n in enumerate(predicted.shape) if n > 1]
    if len(axes) < 2:
        raise GeometryError("surface elements need at least two axes of more than one voxel")
    sides = [spacing[axis] for axis in axes]
    areas = surface_sizes(np.diag(sides))
    box = _box(predicted | reference)
    flat = tuple(axis for axis in range(3) if axis not in axes)
    one, other = (corner_codes(mask[box].squeeze(flat)) for mask in (predicted, reference))
    surface, its_surface = _is_surface(one, areas), _is_surface(other, areas)
    forth, back = nearest_distances(surface, its_surface, sides), nearest_distances(its_surface, surface, sides)
    first, second = np.argsort(forth, kind="stable"), np.argsort(back, kind="stable")
    own, its = areas[one[surface]], areas[other[its_surface]]
    return SurfelDistances(forth[first], own[first], back[second], its[second])


def surfel_hd(distances: SurfelDistances, percentile: float = 100) -> float:
    """Larger of the two directed percentiles by area, without interpolation; NaN if both masks are empty."""
    directed = (
        _percentile(distances.to_reference, distances.predicted_areas, percentile),
        _percentile(distances.to_predicted, distances.reference_areas, percentile),
    )
    found = [one for one in directed if not math.isnan(one)]
    return max(found, default=math.nan)


def surfel_nsd(distances: SurfelDistances, tolerance: float) -> float:
    """Share of the area of both surfaces that lies within the tolerance of the other; NaN if both masks are empty."""
    areas = distances.predicted_areas.sum() + distances.reference_areas.sum()
    if areas == 0:
        return math.nan
    farthest = tolerance * SLACK
    within = distances.predicted_areas[distances.to_reference <= farthest].sum()
    return float((within + distances.reference_areas[distances.to_predicted <= farthest].sum()) / areas)


def surfel_means(distances: SurfelDistances) -> tuple[float, float]:
    """Mean distance by area from the prediction to the reference, and back; NaN from an empty side."""
    return (
        _mean(distances.to_reference, distances.predicted_areas),
        _mean(distances.to_predicted, distances.reference_areas),
    )


def _is_surface(codes: NDArray[np.uint8], areas: Floats) -> Mask:
    mask: Mask = (codes != 0) & (codes != len(areas) - 1)
    return mask


def _percentile(distances: Floats, areas: Floats, percentile: float) -> float:
    if not len(distances):
        return math.nan
    if percentile >= 100:
        return float(distances[-1])
    shares = np.cumsum(areas) / areas.sum()
    return float(distances[min(int(np.searchsorted(shares, percentile / 100)), len(distances) - 1)])


def _mean(distances: Floats, areas: Floats) -> float:
    return float((distances * areas).sum() / areas.sum()) if len(distances) else math.nan


def _box(mask: Mask) -> tuple[slice, ...]:
    (found,) = value_boxes(mask.view(np.uint8), 1)
    return found or tuple(slice(0, n) for n in mask.shape)
