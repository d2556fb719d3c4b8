"""One row of scores per case and structure."""

from __future__ import annotations

from dataclasses import dataclass

from medseg.core.case import CaseId
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels

from . import overlap
from .counts import count_voxels
from .crops import LabelPair
from .empties import Status, agreement_if_empty, distance_if_empty, status
from .surface import hd95, nsd, surface_distances

_OVERLAPS = {
    "dice": overlap.dice,
    "iou": overlap.iou,
    "accuracy": overlap.accuracy,
    "precision": overlap.precision,
    "recall": overlap.recall,
    "specificity": overlap.specificity,
}


@dataclass(frozen=True)
class StructureScore:
    """Scores of one structure in one case; ``metrics.empties`` says what they are when the structure is missing.

    Attributes:
        case: The case.
        structure: The structure, or the region where the scheme has regions.
        status: Whether prediction and reference hold the structure.
        dice: Dice coefficient.
        iou: Intersection over union.
        accuracy: Share of all voxels that are right.
        precision: Share of the prediction that is right.
        recall: Share of the reference that was found.
        specificity: Share of the background that was left alone.
        volume_predicted: In mL, or in pixels where the image has no spacing.
        volume_reference: The same of the reference.
        hd95: 95th percentile Hausdorff distance in ``unit``.
        nsd: Normalised surface Dice at ``tolerance``.
        tolerance: Tolerance of the NSD in ``unit``.
        unit: Unit of distances.
        diagonal: Length of the image's diagonal in ``unit``, the worst that a distance can be.
        tp: Voxels in both.
        fp: Voxels in the prediction only.
        fn: Voxels in the reference only.
        tn: Voxels in neither.
    """

    case: CaseId
    structure: str
    status: Status
    dice: float
    iou: float
    accuracy: float
    precision: float
    recall: float
    specificity: float
    volume_predicted: float
    volume_reference: float
    hd95: float
    nsd: float
    tolerance: float
    unit: LengthUnit
    diagonal: float
    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def volume_difference(self) -> float:
        """Predicted minus reference volume."""
        return self.volume_predicted - self.volume_reference

    @property
    def volume_unit(self) -> str:
        """Unit of volumes: ``mL`` or ``pixel``."""
        return "mL" if self.unit is LengthUnit.MM else self.unit.value


def score_case(
    case: CaseId, predicted: Labels, reference: Labels, scheme: LabelScheme, tolerance: float = 1.0
) -> tuple[StructureScore, ...]:
    """Every score of every target of the scheme, in the scheme's order.

    Voxels that carry the scheme's ignore value are left out of all scores, volumes included.

    Args:
        case: Name of the case, for the rows.
        predicted: What a model or a reader drew.
        reference: What counts as true, on the same grid.
        scheme: What the values mean.
        tolerance: Distance that the NSD forgives, in mm (in pixels where the image has no spacing).

    Raises:
        GeometryError: If the grids differ.
        LabelError: If a value or a structure is not in the scheme.
    """
    counts = count_voxels(predicted, reference, scheme)
    grid = reference.geometry
    volume = grid.voxel_volume / 1000 if grid.unit is LengthUnit.MM else 1.0
    overlaps = {name: score(counts) for name, score in _OVERLAPS.items()}
    states = [status(*sizes) for sizes in zip(counts.predicted.tolist(), counts.reference.tolist(), strict=True)]
    surfaces = _surface_scores(predicted, reference, scheme, states, tolerance)
    return tuple(
        StructureScore(
            case=case,
            structure=target,
            status=states[index],
            **{name: float(scores[index]) for name, scores in overlaps.items()},
            volume_predicted=float(counts.predicted[index] * volume),
            volume_reference=float(counts.reference[index] * volume),
            hd95=surfaces[index][0],
            nsd=surfaces[index][1],
            tolerance=tolerance,
            unit=grid.unit,
            diagonal=grid.diagonal,
            tp=int(counts.tp[index]),
            fp=int(counts.fp[index]),
            fn=int(counts.fn[index]),
            tn=int(counts.tn[index]),
        )
        for index, target in enumerate(scheme.targets)
    )


def _surface_scores(
    predicted: Labels, reference: Labels, scheme: LabelScheme, states: list[Status], tolerance: float
) -> list[tuple[float, float]]:
    """HD95 and NSD per target."""
    pair = LabelPair.of(predicted, reference, scheme)
    scores = []
    for target, state in zip(scheme.targets, states, strict=True):
        if state is Status.OK:
            distances = surface_distances(*pair.masks(target), reference.geometry.spacing)
            scores.append((hd95(distances), nsd(distances, tolerance)))
        else:
            scores.append((distance_if_empty(state), agreement_if_empty(state)))
    return scores
