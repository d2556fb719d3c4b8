"""Whether a model's probabilities can be believed: each case's, and those of all cases together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medseg.core.case import CaseId, grid_difference
from medseg.core.errors import DataError, GeometryError
from medseg.core.geometry import Box
from medseg.core.volume import Volume
from medseg.metrics.calibration import BINS, Reliability, brier, ece, reliability
from medseg.metrics.counts import ignored_mask, members, target_mask
from medseg.metrics.crops import LabelPair

from .aggregate import Mean, mean_over_patients
from .intervals import Bootstrap

MARGIN = 10.0
"""How far around the reference probabilities are looked at, in mm (pixels where there is no spacing)."""
CALIBRATION = (
    f"of each structure's own probability, in {BINS} bins of equal width, over the box around the reference structure "
    f"and {MARGIN:g} mm (pixels) more on each side; cases without the structure are left out"
)
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class CaseCalibration:
    """The probabilities of one structure in one case, around where it is."""

    case: CaseId
    structure: str
    counts: Reliability


@dataclass(frozen=True, eq=False)
class CalibrationSummary:
    """The probabilities of one structure in all cases.

    Attributes:
        structure: The structure.
        ece: Mean of the cases' expected calibration errors.
        brier: Mean of the cases' Brier scores.
        pooled: The voxels of all cases together, for the diagram.
    """

    structure: str
    ece: Mean
    brier: Mean
    pooled: Reliability


def check_probabilities(maps: Volume, pair: LabelPair) -> Volume:
    """Probability maps in the orientation of the pair.

    Raises:
        GeometryError: If they lie on another grid.
        DataError: If there are not as many as targets, or a value is NaN or no probability.
    """
    grid, targets = pair.reference.geometry, pair.scheme.targets
    maps = maps.reoriented(grid.axis_codes)
    if not maps.geometry.is_close(grid):
        raise GeometryError(grid_difference(maps, pair.reference, "probabilities and reference"))
    if len(maps.channels) != len(targets):
        raise DataError(
            f"there are {len(maps.channels)} probability maps for {', '.join(targets)}; one a structure is needed"
        )
    low, high = float(np.min(maps.array)), float(np.max(maps.array))
    if math.isnan(low):
        raise DataError("the probability maps hold NaN; calibration needs a number in each voxel")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise DataError(
            f"the probability maps go from {low:.3g} to {high:.3g}; give probabilities from 0 to 1, not logits"
        )
    return maps


def case_calibration(case: CaseId, pair: LabelPair, maps: Volume) -> tuple[CaseCalibration, ...]:
    """The structures that the reference holds; ``maps`` is what ``check_probabilities`` let pass."""
    found = []
    for channel, target in enumerate(pair.scheme.targets):
        box = _around_reference(pair, target)
        if box is None:
            continue
        predicted, reference = pair.predicted.cropped(box), pair.reference.cropped(box)
        truth, said = target_mask(reference, pair.scheme, target), np.clip(maps.array[(channel, *box)], 0, 1)
        ignored = ignored_mask(predicted, reference, pair.scheme)
        if ignored is not None:
            truth, said = truth[~ignored], said[~ignored]
        found.append(CaseCalibration(case, target, reliability(said, truth)))
    return tuple(found)


def summarise_calibration(
    cases: Sequence[CaseCalibration], patients: Mapping[CaseId, str], settings: Bootstrap
) -> tuple[CalibrationSummary, ...]:
    """A summary a structure."""
    summaries = []
    for structure in dict.fromkeys(one.structure for one in cases):
        mine = [one for one in cases if one.structure == structure]
        pooled = mine[0].counts
        for one in mine[1:]:
            pooled += one.counts
        errors, scores = ({one.case: score(one.counts) for one in mine} for score in (ece, brier))
        means = [mean_over_patients(values, patients, settings) for values in (errors, scores)]
        summaries.append(CalibrationSummary(structure, means[0], means[1], pooled))
    return tuple(summaries)


def _around_reference(pair: LabelPair, target: str) -> Box | None:
    """Box of the reference structure and a margin: the prediction has no say in where it is judged."""
    names = {target, *members(pair.scheme, target)}
    boxes = [box for name, box in pair.boxes[1].items() if name in names]
    if not boxes:
        return None
    grid, parts = pair.reference.geometry, []
    for axis, (size, spacing) in enumerate(zip(grid.shape, grid.spacing, strict=True)):
        margin = math.ceil(MARGIN / spacing)
        low, high = min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)
        parts.append(slice(max(0, low - margin), min(size, high + margin)))
    return parts[0], parts[1], parts[2]
