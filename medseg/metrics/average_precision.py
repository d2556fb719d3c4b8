"""Average precision of instances that carry a score, accumulated as COCO does; the same in 2D and 3D."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import DataError

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MOST_DETECTIONS = 100
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one image or volume.

    Attributes:
        scores: How sure the model is of each instance, such as its mean probability; shape ``(predicted,)``.
        iou: Intersection over union with each reference instance, shape ``(predicted, reference)``.
    """

    scores: NDArray[np.float64]
    iou: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.iou.ndim != 2 or self.scores.shape != self.iou.shape[:1] or not np.isfinite(self.scores).all():
            raise DataError(
                f"detections need one finite score a row of the overlaps; got {self.scores.shape} and {self.iou.shape}"
            )


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision over a data set, in ``[0, 1]``; NaN without a reference instance.

    Attributes:
        by_threshold: At each threshold of the intersection over union.
        mean: Over the thresholds; COCO's AP.
        recall: Largest recall at each threshold, averaged; COCO's AR.
    """

    by_threshold: Mapping[float, float]
    mean: float
    recall: float


def average_precision(images: Sequence[Detections], thresholds: Sequence[float] = IOU_THRESHOLDS) -> AveragePrecision:
    """Average precision as pycocotools computes it.

    In each image the 100 surest instances take, in the order of their scores, the free reference instance that they
    overlap most, if that reaches the threshold. Precision is read off at 101 recalls, each time the best that any
    larger recall still has.

    References:
        Lin et al., 2014, ECCV (COCO); the accumulation of pycocotools 2.0.
    """
    references = sum(image.iou.shape[1] for image in images)
    if references == 0:
        return AveragePrecision(dict.fromkeys(thresholds, math.nan), math.nan, math.nan)
    curves = [_at(images, threshold, references) for threshold in thresholds]
    precisions = [precision for precision, _ in curves]
    return AveragePrecision(
        dict(zip(thresholds, precisions, strict=True)),
        float(np.mean(precisions)),
        float(np.mean([recall for _, recall in curves])),
    )


def _at(images: Sequence[Detections], threshold: float, references: int) -> tuple[float, float]:
    """Average precision and largest recall at one threshold."""
    scores, hits = [], []
    for image in images:
        order = np.argsort(-image.scores, kind="stable")[:MOST_DETECTIONS]
        scores.append(image.scores[order])
        hits.append(_taken(image.iou[order], threshold))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit = np.concatenate(hits)[order]
    tp, fp = np.cumsum(hit), np.cumsum(~hit)
    if not hit.size:
        return 0.0, 0.0
    recall, precision = tp / references, tp / (tp + fp)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, _RECALLS, side="left")
    at_recalls = np.where(place < len(best), best[np.minimum(place, len(best) - 1)], 0.0)
    return float(at_recalls.mean()), float(recall[-1])


def _taken(iou: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Which instances, the surest first, find a reference instance that is still free."""
    free = np.ones(iou.shape[1], np.bool_)
    hit = np.zeros(len(iou), np.bool_)
    for row, overlap in enumerate(iou):
        candidates = np.where(free, overlap, -1.0)
        if candidates.size and candidates.max() >= min(threshold, 1 - 1e-10):
            # pycocotools keeps the last of equals
            free[candidates.size - 1 - int(candidates[::-1].argmax())] = False
            hit[row] = True
    return hit
