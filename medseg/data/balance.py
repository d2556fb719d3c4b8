"""How rare each class is, and what follows from it: weights in the loss, chances to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medseg.core.labels import IGNORE_INDEX

from .cache import PreparedArrays

WeightRule = Literal["balanced", "inverse_frequency"]
Balance = Literal["structure", "case", "voxel"]
_VOXELS_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class ClassVoxels:
    """Voxels of each class in each case, both of shape ``(cases, classes)``.

    Attributes:
        voxels: Of the class. Background comes first if classes exclude each other; overlapping targets have none.
        known: That are not ignored.
    """

    voxels: NDArray[np.int64]
    known: NDArray[np.int64]


def count_class_voxels(cases: Sequence[PreparedArrays], targets: int) -> ClassVoxels:
    """Count the voxels of prepared cases; of each about a million are in memory at a time.

    Args:
        cases: At least one.
        targets: Structures, or regions.
    """
    counts = [_counted(case.target, targets) for case in cases]
    return ClassVoxels(np.stack([voxels for voxels, _ in counts]), np.stack([known for _, known in counts]))


def class_weights(rule: WeightRule, counted: ClassVoxels, ratio: float) -> tuple[float, ...]:
    """A weight for each class, with a mean of 1; a class that is nowhere weighs as much as the rarest.

    ``balanced`` is median frequency balancing: a class's frequency is its share of the voxels of the cases that hold
    it, and its weight the median of all frequencies over its own. ``inverse_frequency`` takes the share of the voxels
    of all cases, so that a class of few cases weighs more.

    Args:
        rule: Which of both.
        counted: Voxels of the training cases.
        ratio: The largest weight over the smallest is at most this; beyond it the weights are taken to the power that
            makes it so, which keeps their order.

    References:
        Eigen and Fergus, 2015, ICCV, section 6.3.2.
    """
    held = counted.voxels > 0 if rule == "balanced" else np.ones_like(counted.voxels, dtype=bool)
    frequency = counted.voxels.sum(0) / np.maximum((counted.known * held).sum(0), 1)
    present = frequency > 0
    if not present.any():
        return (1.0,) * len(frequency)
    weights = np.median(frequency[present]) / np.where(present, frequency, frequency[present].min())
    spread = weights.max() / weights.min()
    if spread > ratio:
        weights = weights ** (np.log(ratio) / np.log(spread))
    return tuple((weights / weights.mean()).tolist())


def pair_chances(
    voxels: NDArray[np.int64], balance: Balance, weights: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Chance of each case and target to be the one that a patch is centred on.

    Args:
        voxels: Of each target in each case, shape ``(cases, targets)``; unless the balance is ``voxel``, only whether
            there are any matters.
        balance: ``structure``: every target is equally likely, then each case that holds it; ``case``: every case that
            holds any is, then each target in it; ``voxel``: every voxel of a target is.
        weights: Factors by which targets are likelier than that; none is all ones.

    Returns:
        Of the same shape, with a sum of 1; zeros if there is no voxel at all.
    """
    factors = np.ones(voxels.shape[1]) if weights is None else np.array(weights, dtype=np.float64)
    held = (voxels > 0).astype(np.float64)
    if balance == "structure":
        table = held / np.maximum(held.sum(0), 1) * factors
    elif balance == "case":
        within = held * factors
        table = within / np.where(held.any(1), within.sum(1), 1)[:, None]
    else:
        table = voxels * factors
    chances: NDArray[np.float64] = table / (table.sum() or 1.0)
    return chances


def _counted(target: NDArray[np.uint8], targets: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Voxels of each class and voxels known about each."""
    if target.ndim == 4:
        histograms = np.stack([_histogram(mask) for mask in target])
        return histograms[:, 1], target[0].size - histograms[:, IGNORE_INDEX]
    histogram = _histogram(target)
    voxels = histogram[: targets + 1]
    return voxels, np.full(len(voxels), target.size - histogram[IGNORE_INDEX])


def _histogram(array: NDArray[np.uint8]) -> NDArray[np.int64]:
    total = np.zeros(IGNORE_INDEX + 1, dtype=np.int64)
    for slab in _slabs(array):
        total += np.bincount(slab.reshape(-1), minlength=len(total))
    return total


def _slabs(array: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    depth = max(1, _VOXELS_AT_ONCE // max(1, array[0].size))
    for start in range(0, len(array), depth):
        yield array[start : start + depth]
