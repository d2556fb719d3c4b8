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


def f_beta(counts: VoxelCounts, beta: float) -> Scores:
    """F score that weighs recall ``beta`` times as much as precision; ``beta`` 1 is Dice.

    ``(1 + b²) tp / ((1 + b²) tp + b² fn + fp)`` (van Rijsbergen, 1979, Information Retrieval, chapter 7).
    """
    weight = beta * beta
    part = ((1 + weight) * counts.tp).astype(np.float64)
    whole = (part + weight * counts.fn + counts.fp).astype(np.float64)
    return overlap_ratio(part, whole, counts.union)


def balanced_accuracy(counts: VoxelCounts) -> Scores:
    """Mean of recall and specificity; NaN where one of them is."""
    return (recall(counts) + specificity(counts)) / 2


def mcc(counts: VoxelCounts) -> Scores:
    """Matthews correlation coefficient, in ``[-1, 1]``; 0 for a side that is empty or full, NaN if both are the same.

    ``(tp tn - fp fn) / sqrt((tp + fp) (tp + fn) (tn + fp) (tn + fn))`` (Matthews, 1975, Biochimica et Biophysica Acta
    405:442). The four square roots are taken apart: the product of four counts does not fit into 64 bits.
    """
    tp, fp, fn, tn = (part.astype(np.float64) for part in (counts.tp, counts.fp, counts.fn, counts.tn))
    roots = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    constant = np.where((fp + fn == 0) & (roots == 0), np.nan, 0.0)
    return np.where(roots > 0, (tp * tn - fp * fn) / np.where(roots > 0, roots, 1.0), constant)
