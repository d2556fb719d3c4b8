"""Scores of a whole label map, from its confusion matrix: how semantic segmentation of photographs is reported.

Background and structures count alike as classes. Classes that neither side holds are left out of means.

References:
    Long et al., 2015, CVPR, section 5 (pixel accuracy, mean accuracy, mean IU, frequency weighted IU).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
"""Voxels by predicted class (rows) and true class (columns), as ``confusion_matrix`` gives it."""


@dataclass(frozen=True)
class SemanticScores:
    """One number each for all classes together, in ``[0, 1]``; NaN for an image without voxels.

    Attributes:
        pixel_accuracy: Share of voxels that are right.
        balanced_accuracy: Mean over the classes of the reference of the share of each that was found.
        mean_iou: Mean over the classes of either side of the intersection over union.
        weighted_iou: The same, each class weighed by its share of the reference.
        classes: How many classes the mean IoU is over.
    """

    pixel_accuracy: float
    balanced_accuracy: float
    mean_iou: float
    weighted_iou: float
    classes: int


def semantic_scores(matrix: Matrix) -> SemanticScores:
    """The scores of one case, or of many whose matrices were added up.

    Args:
        matrix: Shape ``(classes, classes)``, rows predicted, columns true.
    """
    right = np.diagonal(matrix).astype(np.float64)
    predicted, true = matrix.sum(axis=1), matrix.sum(axis=0)
    union, total = predicted + true - right, float(matrix.sum())
    if total == 0:
        return SemanticScores(np.nan, np.nan, np.nan, np.nan, 0)
    there, held = union > 0, true > 0
    iou = right[there] / union[there]
    return SemanticScores(
        pixel_accuracy=float(right.sum() / total),
        balanced_accuracy=float((right[held] / true[held]).mean()),
        mean_iou=float(iou.mean()),
        weighted_iou=float((true[there] / total * iou).sum()),
        classes=int(there.sum()),
    )
