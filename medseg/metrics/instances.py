"""Structures that come several times, such as lesions: found, missed, doubled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, sparse

from medseg.core.errors import GeometryError

InstanceMap = NDArray[np.integer]
"""An integer a voxel: 0 for none, else the number of its instance; numbers need not be consecutive."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """How the instances of two maps lie over each other.

    Attributes:
        iou: Intersection over union, shape ``(predicted, reference)``.
        shared: Voxels in both, of the same shape.
        predicted: Voxels of each predicted instance, shape ``(predicted,)``.
        reference: Voxels of each reference instance, shape ``(reference,)``.
    """

    iou: NDArray[np.float64]
    shared: NDArray[np.int64]
    predicted: NDArray[np.int64]
    reference: NDArray[np.int64]


@dataclass(frozen=True)
class InstanceCounts:
    """Instances matched one to one; counts of cases add up.

    Attributes:
        tp: Pairs.
        fp: Predicted instances without a partner.
        fn: Reference instances without a partner.
        iou_sum: Sum of the pairs' intersections over union.
    """

    tp: int
    fp: int
    fn: int
    iou_sum: float

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou_sum + other.iou_sum)


@dataclass(frozen=True)
class LesionCounts:
    """Lesions that were touched at all; counts of cases add up.

    Attributes:
        found: Reference lesions that some prediction overlaps enough.
        missed: Reference lesions that none does.
        false: Predicted lesions that overlap no reference enough.
    """

    found: int
    missed: int
    false: int

    def __add__(self, other: LesionCounts) -> LesionCounts:
        return LesionCounts(self.found + other.found, self.missed + other.missed, self.false + other.false)


def instances_of(mask: NDArray[np.bool_]) -> InstanceMap:
    """The parts of a mask, numbered from 1; voxels that share a corner belong together."""
    numbered = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, np.ones((3,) * mask.ndim), output=numbered)
    return numbered


def overlaps(predicted: InstanceMap, reference: InstanceMap) -> Overlaps:
    """How the instances of two maps lie over each other; one pass over the voxels, whatever their number.

    Args:
        predicted: Shape ``(i, j, k)`` or ``(i, j)``.
        reference: Of the same shape.

    Raises:
        GeometryError: If the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise GeometryError(f"the instance maps have different shapes: {predicted.shape} and {reference.shape}")
    there = (predicted != 0) | (reference != 0)
    one, other = predicted[there], reference[there]
    numbers, rows = np.unique(np.append(one, 0), return_inverse=True)
    true_numbers, columns = np.unique(np.append(other, 0), return_inverse=True)
    joint = sparse.coo_matrix(
        (np.ones(one.size, np.int64), (rows[:-1], columns[:-1])), (len(numbers), len(true_numbers))
    ).toarray()
    is_one, is_other = numbers != 0, true_numbers != 0
    sizes, true_sizes = joint.sum(axis=1)[is_one], joint.sum(axis=0)[is_other]
    shared = joint[np.ix_(is_one, is_other)]
    union = sizes[:, None] + true_sizes[None, :] - shared
    return Overlaps(shared / union, shared, sizes, true_sizes)


def match_instances(found: Overlaps, threshold: float = 0.5) -> InstanceCounts:
    """Instances matched one to one, where their intersection over union exceeds the threshold.

    From 0.5 on no instance has two candidates. Below it the most pairs are made, and among equals those of the largest
    sum (Hungarian method).
    """
    candidate = found.iou > threshold
    size = max(1, min(found.iou.shape))
    gain = np.where(candidate, 1 + found.iou / (2 * size), 0.0)
    rows, columns = optimize.linear_sum_assignment(-gain)
    chosen = candidate[rows, columns]
    tp = int(chosen.sum())
    iou_sum = float(found.iou[rows, columns][chosen].sum())
    return InstanceCounts(tp, len(found.predicted) - tp, len(found.reference) - tp, iou_sum)


def recognition_quality(counts: InstanceCounts) -> float:
    """F1 of the instances (RQ): ``tp / (tp + fp / 2 + fn / 2)``; NaN without any instance."""
    whole = counts.tp + (counts.fp + counts.fn) / 2
    return math.nan if whole == 0 else counts.tp / whole


def segmentation_quality(counts: InstanceCounts) -> float:
    """Mean intersection over union of the pairs (SQ); NaN without a pair."""
    return math.nan if counts.tp == 0 else counts.iou_sum / counts.tp


def panoptic_quality(counts: InstanceCounts) -> float:
    """PQ, the product of both: ``iou_sum / (tp + fp / 2 + fn / 2)``; NaN without any instance.

    References:
        Kirillov et al., 2019, CVPR, equation 1.
    """
    whole = counts.tp + (counts.fp + counts.fn) / 2
    return math.nan if whole == 0 else counts.iou_sum / whole


def count_lesions(found: Overlaps, share: float = 0.0) -> LesionCounts:
    """Lesions that were found, several predicted parts of one lesion counting as one.

    Args:
        found: How predicted and reference lesions lie over each other.
        share: A lesion is found if more than this share of it is covered by predictions, and a prediction is false if
            no more than this share of it lies on lesions; 0 asks for one voxel.
    """
    covered = found.shared.sum(axis=0) > share * found.reference
    right = found.shared.sum(axis=1) > share * found.predicted
    return LesionCounts(int(covered.sum()), int((~covered).sum()), int((~right).sum()))


def lesion_sensitivity(counts: LesionCounts) -> float:
    """Share of the lesions that were found; NaN where there are none."""
    lesions = counts.found + counts.missed
    return math.nan if lesions == 0 else counts.found / lesions
