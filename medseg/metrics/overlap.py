"""Overlap scores, one line each; all from voxel counts, per target.

In ``[0, 1]``; see ``metrics.empties`` for structures that are missing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .counts import VoxelCounts
from .empties import overlap_ratio

Scores = NDArray[np.float64]


def dice(counts: VoxelCounts) -> Scores:
    """Dice coefficient ``2 tp / (2 tp + fp + fn)`` (Dice, 1945, Ecology 26:297)."""
    return overlap_ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, counts.union)


def iou(counts: VoxelCounts) -> Scores:
    """Intersection over union (Jaccard index) ``tp / (tp + fp + fn)``."""
    return overlap_ratio(counts.tp, counts.union, counts.union)


def precision(counts: VoxelCounts) -> Scores:
    """Share of the prediction that is right, ``tp / (tp + fp)``."""
    return overlap_ratio(counts.tp, counts.predicted, counts.union)


def recall(counts: VoxelCounts) -> Scores:
    """Share of the reference that was found (sensitivity), ``tp / (tp + fn)``."""
    return overlap_ratio(counts.tp, counts.reference, counts.union)


def specificity(counts: VoxelCounts) -> Scores:
    """Share of the background that was left alone, ``tn / (tn + fp)``; NaN if the reference fills the image."""
    background = counts.tn + counts.fp
    return overlap_ratio(counts.tn, background, background)


def accuracy(counts: VoxelCounts) -> Scores:
    """Share of all voxels that are right, ``(tp + tn) / all``: close to 1 for any small structure."""
    voxels = counts.union + counts.tn
    return overlap_ratio(counts.tp + counts.tn, voxels, voxels)
