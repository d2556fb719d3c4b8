"""Label maps as wholes: which structure is taken for which, and one number for all classes together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medseg.core.case import CaseId
from medseg.core.labels import LabelScheme
from medseg.metrics.semantic import Matrix, SemanticScores, semantic_scores

from .aggregate import Mean, means_over_patients
from .intervals import Bootstrap

BACKGROUND = "background"
SEMANTIC = ("pixel_accuracy", "balanced_accuracy", "mean_iou", "weighted_iou")
"""The scores of a whole map."""


@dataclass(frozen=True, eq=False)
class WholeMap:
    """The confusion of classes, by case and in all.

    Attributes:
        classes: Background, then the structures in the scheme's order.
        matrices: Voxels of each case by predicted class (rows) and true class (columns).
        total: The sum of them.
        scores: Of each case.
        means: Over patients, by name of the score.
        pooled: Of the sum of all matrices, as photographs are usually scored.
    """

    classes: tuple[str, ...]
    matrices: Mapping[CaseId, Matrix]
    total: Matrix
    scores: Mapping[CaseId, SemanticScores]
    means: Mapping[str, Mean]
    pooled: SemanticScores


def whole_map(
    matrices: Mapping[CaseId, Matrix], scheme: LabelScheme, patients: Mapping[CaseId, str], settings: Bootstrap
) -> WholeMap | None:
    """The confusion in all cases; None where there is no case, or structures may overlap."""
    if not matrices or not scheme.is_exclusive:
        return None
    scores = {case: semantic_scores(matrix) for case, matrix in matrices.items()}
    by_name = {name: {case: float(getattr(one, name)) for case, one in scores.items()} for name in SEMANTIC}
    means = means_over_patients(by_name, patients, settings)
    total = np.sum(list(matrices.values()), axis=0)
    return WholeMap((BACKGROUND, *scheme.names), matrices, total, scores, means, semantic_scores(total))
