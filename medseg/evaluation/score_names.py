"""The scores of a row: what they are called, which way is better, and what a mean takes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from medseg.metrics.table import StructureScore


class Kind(Enum):
    """What a score is a number of."""

    SHARE = "share"
    DISTANCE = "distance"
    VOLUME = "volume"


@dataclass(frozen=True)
class ScoreName:
    """One score of a row.

    Attributes:
        field: Its attribute in ``StructureScore``, its column and its key.
        title: For people.
        kind: What it is a number of.
        higher_is_better: Whether the larger value is the better one; None where neither is.
    """

    field: str
    title: str
    kind: Kind
    higher_is_better: bool | None

    def of(self, row: StructureScore) -> float:
        """The value that a mean takes: an infinite distance counts as the image's diagonal."""
        value = float(getattr(row, self.field))
        return row.diagonal if math.isinf(value) else value


_SHARES = (
    ("dice", "Dice"),
    ("iou", "IoU"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f_beta", "F"),
    ("mcc", "MCC"),
    ("specificity", "specificity"),
    ("accuracy", "pixel accuracy"),
    ("balanced_accuracy", "balanced accuracy"),
)
_DISTANCES = (("hd", "HD"), ("hd95", "HD95"), ("assd", "ASSD"), ("masd", "MASD"))
_SURFACES = (("nsd", "NSD"), ("boundary_iou", "boundary IoU"), ("cl_dice", "clDice"))
_VOLUMES = (
    ("volume_predicted", "predicted"),
    ("volume_reference", "reference"),
    ("volume_difference", "difference"),
)

OVERLAPS = tuple(ScoreName(field, title, Kind.SHARE, higher_is_better=True) for field, title in _SHARES)
DISTANCES = tuple(ScoreName(field, title, Kind.DISTANCE, higher_is_better=False) for field, title in _DISTANCES)
SURFACES = tuple(ScoreName(field, title, Kind.SHARE, higher_is_better=True) for field, title in _SURFACES)
VOLUMES = tuple(ScoreName(field, title, Kind.VOLUME, higher_is_better=None) for field, title in _VOLUMES)
SCORES = {one.field: one for one in (*OVERLAPS, *DISTANCES, *SURFACES, *VOLUMES)}
"""All scores by field, in the order of the columns."""
CENTRE_LINE = "cl_dice"
"""The score that only thin structures have."""
