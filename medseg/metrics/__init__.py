"""Scores of segmentations: overlap, distance, instances, calibration; on label maps with a place, or on plain arrays.

``from medseg.metrics import score_arrays`` is all that somebody with arrays needs. A name is imported from its module
when it is first used, so that nothing is loaded for nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .arrays import score_arrays as score_arrays
    from .boundary import boundary_iou as boundary_iou
    from .calibration import brier as brier
    from .calibration import ece as ece
    from .calibration import reliability as reliability
    from .counts import VoxelCounts as VoxelCounts
    from .counts import confusion_matrix as confusion_matrix
    from .counts import count_voxels as count_voxels
    from .empties import Status as Status
    from .instances import count_lesions as count_lesions
    from .instances import instances_of as instances_of
    from .instances import match_instances as match_instances
    from .instances import overlaps as overlaps
    from .instances import panoptic_quality as panoptic_quality
    from .semantic import semantic_scores as semantic_scores
    from .surface import surface_distances as surface_distances
    from .surfels import surfel_distances as surfel_distances
    from .table import ScoreSettings as ScoreSettings
    from .table import StructureScore as StructureScore
    from .table import score_case as score_case
    from .topology import cl_dice as cl_dice

# Where each name lives; a test holds this table and the imports above together.
_HOMES = {
    "ScoreSettings": "table",
    "Status": "empties",
    "StructureScore": "table",
    "VoxelCounts": "counts",
    "boundary_iou": "boundary",
    "brier": "calibration",
    "cl_dice": "topology",
    "confusion_matrix": "counts",
    "count_lesions": "instances",
    "count_voxels": "counts",
    "ece": "calibration",
    "instances_of": "instances",
    "match_instances": "instances",
    "overlaps": "instances",
    "panoptic_quality": "instances",
    "reliability": "calibration",
    "score_arrays": "arrays",
    "score_case": "table",
    "semantic_scores": "semantic",
    "surface_distances": "surface",
    "surfel_distances": "surfels",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'medseg.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
