"""Where a model doubts its outlines: a heat map, the slices to look at first, a figure for each structure.

Uncertainty lies between 0, where one outcome is certain, and 1, where all are equally likely: what ``medseg predict
--entropy`` writes, and what ``open_case.read_uncertainty`` makes of probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import grid_difference
from medseg.core.errors import DataError, GeometryError
from medseg.core.geometry import Geometry
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Volume
from medseg.metrics.crops import LabelPair
from medseg.render.slices import DISPLAY_CODES, Plane

from .differing import Voxel

HEAT_NAME = "Uncertainty"
HEAT_LEGEND = ("0: one outcome is certain", "1: all outcomes are equally likely")
"""What the levels 0 and 255 of a heat map mean, in every case the same."""
_ROUNDING = 1e-3


@dataclass(frozen=True)
class UncertainSlice:
    """A slice with uncertain voxels.

    Attributes:
        index: Along the array axis that the plane stands across.
        total: Sum of the entropies of its voxels.
        voxel: The most uncertain one, to look at.
    """

    index: int
    total: float
    voxel: Voxel


def heat_map(entropy: Volume) -> Volume:
    """Uncertainty as uint8 levels for the viewer, 255 times the entropy; `HEAT_LEGEND` says what they mean.

    Raises:
        DataError: If the volume is no entropy: several channels, values that are not finite, or beyond 0 and 1.
    """
    values = _checked(entropy)
    levels = np.empty_like(values, dtype=np.uint8)
    slowest = int(np.argmax(np.abs(values.strides)))
    for level, value in zip(*(np.moveaxis(array, slowest, 0) for array in (levels, values)), strict=True):
        level[...] = np.rint(np.clip(value, 0, 1) * np.float32(255))
    return Volume(levels[np.newaxis], entropy.geometry, (HEAT_NAME,))


def uncertain_slices(entropy: Volume, plane: Plane = Plane.AXIAL, most: int = 20) -> tuple[UncertainSlice, ...]:
    """The slices of the largest summed entropy, largest first; slices without any are left out.

    Args:
        entropy: One channel, from 0 to 1.
        plane: Whose slices; of an oblique grid the nearest plane.
        most: How many at most.

    Raises:
        DataError: As `heat_map`.
    """
    values, axis = _checked(entropy), _axis_across(plane, entropy.geometry)
    others = tuple(other for other in range(3) if other != axis)
    totals = values.sum(axis=others, dtype=np.float64)
    ranked = [int(index) for index in np.argsort(-totals, kind="stable")[:most] if totals[index] > 0]
    return tuple(UncertainSlice(index, float(totals[index]), _peak(values, axis, index)) for index in ranked)


def next_in_rank(ranked: Sequence[UncertainSlice], index: int) -> UncertainSlice | None:
    """The next less uncertain slice after the one at ``index``.

    The most uncertain one if that is not among them, None after the last.
    """
    places = [place for place, one in enumerate(ranked) if one.index == index]
    following = ranked[places[0] + 1 :] if places else ranked
    return following[0] if following else None


def next_in_order(ranked: Sequence[UncertainSlice], index: int, step: int = 1) -> UncertainSlice | None:
    """The nearest of the slices above ``index``, or below it if ``step`` is negative; None if there is none."""
    ahead = [one for one in ranked if (one.index - index) * step > 0]
    return min(ahead, key=lambda one: abs(one.index - index), default=None)


def mean_within(values: Volume, outlines: Segmentation) -> dict[str, float | None]:
    """Mean over the voxels of each target, such as its mean uncertainty or probability; None of an empty target.

    Args:
        values: One channel for all targets, or one a target in their order.
        outlines: On the same grid.

    Raises:
        DataError: If there are as many channels neither as targets nor as one, or values are not finite, or beyond 0
            and 1.
        GeometryError: If the grids differ.
    """
    targets = outlines.scheme.targets
    if len(values.channels) not in (1, len(targets)):
        raise DataError(
            f"there are {len(values.channels)} channels for {len(targets)} targets; give one for all, or one a target"
        )
    if not values.geometry.is_close(outlines.geometry):
        raise GeometryError(grid_difference(values, outlines.labels, "uncertainty and outlines"))
    _check_range(values.array)
    pair = LabelPair.of(outlines.labels, outlines.labels, outlines.scheme)
    means: dict[str, float | None] = {}
    for place, target in enumerate(targets):
        box = pair.box(target)
        means[target] = None
        if box is not None:
            mask, _ = pair.masks(target)
            inside = values.array[(place % len(values.channels), *box)]
            means[target] = float(inside.mean(where=mask, dtype=np.float64))
    return means


def _checked(entropy: Volume) -> NDArray[np.generic]:
    """The entropies, shape ``(i, j, k)``."""
    if len(entropy.channels) != 1:
        raise DataError(f"a map of uncertainty has one channel, got {len(entropy.channels)}")
    _check_range(entropy.array)
    values: NDArray[np.generic] = entropy.array[0]
    return values


def _check_range(values: NDArray[np.generic]) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # a NaN is refused too
        raise DataError(f"uncertainties and probabilities lie between 0 and 1, got {low:g} to {high:g}")


def _axis_across(plane: Plane, geometry: Geometry) -> int:
    return geometry.axis_map(DISPLAY_CODES).order[plane.value]


def _peak(values: NDArray[np.generic], axis: int, index: int) -> Voxel:
    cut = np.moveaxis(values, axis, 0)[index]
    found = [int(place) for place in np.unravel_index(int(cut.argmax()), cut.shape)]
    found.insert(axis, index)
    i, j, k = found
    return i, j, k
