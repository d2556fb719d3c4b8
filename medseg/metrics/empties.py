"""What a score is when a structure is missing: decided here and nowhere else.

============== ============ ===================== ====== =====
status         Dice, IoU    precision, recall     HD95   NSD
============== ============ ===================== ====== =====
ok             as computed  as computed           finite value
both_empty     NaN          NaN                   NaN    NaN
missed         0            0                     inf    0
false_positive 0            0                     inf    0
============== ============ ===================== ====== =====

NaN is left out of means and counted beside them. Accuracy and specificity speak of the background as well, so they
keep their value in every row. An infinite distance stays infinite in the row of its case; only a mean over cases may
put the image diagonal in its place, and says how often it did.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Status(StrEnum):
    """Whether a structure is there, in one case."""

    OK = "ok"
    BOTH_EMPTY = "both_empty"
    MISSED = "missed"
    FALSE_POSITIVE = "false_positive"


def status(predicted_voxels: int, reference_voxels: int) -> Status:
    """The status of a structure that fills so many voxels in the prediction and in the reference."""
    match predicted_voxels > 0, reference_voxels > 0:
        case True, True:
            return Status.OK
        case True, False:
            return Status.FALSE_POSITIVE
        case False, True:
            return Status.MISSED
    return Status.BOTH_EMPTY


Numbers = NDArray[np.int64] | NDArray[np.float64]


def overlap_ratio(part: Numbers, whole: Numbers, union: NDArray[np.int64]) -> NDArray[np.float64]:
    """``part / whole`` per structure; 0 where only ``whole`` is empty, NaN where ``union`` is empty too."""
    empty = np.where(union > 0, 0.0, np.nan)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), empty)


def distance_if_empty(case_status: Status) -> float:
    """Distance of a structure that at least one side lacks: NaN if both do, else infinite."""
    return math.nan if case_status is Status.BOTH_EMPTY else math.inf


def agreement_if_empty(case_status: Status) -> float:
    """Surface agreement (NSD) of a structure that at least one side lacks: NaN if both do, else 0."""
    return math.nan if case_status is Status.BOTH_EMPTY else 0.0
