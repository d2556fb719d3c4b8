"""One row of scores per case and structure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from medseg.core.case import CaseId
from medseg.core.errors import InputError, LabelError
from medseg.core.geometry import LengthUnit, Spacing
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels

from . import overlap
from .boundary import boundary_iou
from .counts import VoxelCounts, count_voxels
from .crops import LabelPair, Mask
from .empties import Status, agreement_if_empty, distance_if_empty, status
from .surface import assd, hd, hd95, masd, nsd, surface_distances
from .topology import cl_dice

_OVERLAPS = {
    "dice": overlap.dice,
    "iou": overlap.iou,
    "accuracy": overlap.accuracy,
    "balanced_accuracy": overlap.balanced_accuracy,
    "precision": overlap.precision,
    "recall": overlap.recall,
    "specificity": overlap.specificity,
    "mcc": overlap.mcc,
}


@dataclass(frozen=True)
class ScoreSettings:
    """What defines the scores.

    Attributes:
        tolerance: Distance that the NSD forgives, in mm (in pixels where the image has no spacing).
        tolerances: The same for single targets, such as the distance between two readers' outlines of them.
        rim: Width of the rims that the boundary IoU compares, in the same unit.
        beta: How many times as much recall weighs as precision in the F score.
        thin: Targets whose centre lines are compared too (clDice): vessels, airways, nerves.
    """

    tolerance: float = 1.0
    tolerances: Mapping[str, float] = field(default_factory=dict)
    rim: float = 2.0
    beta: float = 2.0
    thin: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        named = [(f"the tolerance of {target!r}", value) for target, value in self.tolerances.items()]
        for what, value in (("a tolerance", self.tolerance), *named):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{what} is a distance of 0 or more, got {value:g}")
        for what, value in (("the width of rims", self.rim), ("beta", self.beta)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{what} is a number above 0, got {value:g}")

    def tolerance_of(self, target: str) -> float:
        """The tolerance of a target."""
        return self.tolerances.get(target, self.tolerance)

    def check(self, scheme: LabelScheme) -> None:
        """Make sure that all targets that are named are the scheme's.

        Raises:
            LabelError: If one is not.
        """
        unknown = sorted({*self.tolerances, *self.thin} - set(scheme.targets))
        if unknown:
            raise LabelError(f"no structure {unknown[0]!r} to score; there are {', '.join(map(repr, scheme.targets))}")


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
        balanced_accuracy: Mean of recall and specificity.
        precision: Share of the prediction that is right.
        recall: Share of the reference that was found.
        specificity: Share of the background that was left alone.
        mcc: Matthews correlation coefficient.
        f_beta: F score at ``beta``.
        beta: How many times as much recall weighs as precision in it.
        volume_predicted: In mL, or in pixels where the image has no spacing.
        volume_reference: The same of the reference.
        hd: Hausdorff distance in ``unit``.
        hd95: 95th percentile Hausdorff distance in ``unit``.
        assd: Average symmetric surface distance in ``unit``.
        masd: Mean average surface distance in ``unit``.
        nsd: Normalised surface Dice at ``tolerance``.
        tolerance: Tolerance of the NSD in ``unit``.
        boundary_iou: Intersection over union of the rims.
        rim: Width of the rims in ``unit``.
        cl_dice: Centre line Dice; NaN where nobody asked for it.
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
    balanced_accuracy: float
    precision: float
    recall: float
    specificity: float
    mcc: float
    f_beta: float
    beta: float
    volume_predicted: float
    volume_reference: float
    hd: float
    hd95: float
    assd: float
    masd: float
    nsd: float
    tolerance: float
    boundary_iou: float
    rim: float
    cl_dice: float
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
    case: CaseId,
    predicted: Labels,
    reference: Labels,
    scheme: LabelScheme,
    settings: ScoreSettings | None = None,
) -> tuple[StructureScore, ...]:
    """Every score of every target of the scheme, in the scheme's order.

    Voxels that carry the scheme's ignore value are left out of all scores, volumes included.

    Args:
        case: Name of the case, for the rows.
        predicted: What a model or a reader drew.
        reference: What counts as true, on the same grid.
        scheme: What the values mean.
        settings: What defines the scores.

    Raises:
        GeometryError: If the grids differ.
        LabelError: If a value or a structure is not in the scheme, or the settings name one that is not.
    """
    counts = count_voxels(predicted, reference, scheme)
    return score_pair(case, LabelPair.of(predicted, reference, scheme), counts, settings or ScoreSettings())


def score_pair(
    case: CaseId, pair: LabelPair, counts: VoxelCounts, settings: ScoreSettings
) -> tuple[StructureScore, ...]:
    """The scores of a pair whose voxels were counted already; as ``score_case``."""
    scheme, grid = pair.scheme, pair.reference.geometry
    settings.check(scheme)
    overlaps = {name: score(counts) for name, score in _OVERLAPS.items()}
    overlaps["f_beta"] = overlap.f_beta(counts, settings.beta)
    voxel = grid.voxel_volume / 1000 if grid.unit is LengthUnit.MM else 1.0
    states = [status(*sizes) for sizes in zip(counts.predicted.tolist(), counts.reference.tolist(), strict=True)]
    return tuple(
        StructureScore(
            case=case,
            structure=target,
            status=state,
            beta=settings.beta,
            volume_predicted=float(counts.predicted[index] * voxel),
            volume_reference=float(counts.reference[index] * voxel),
            tolerance=settings.tolerance_of(target),
            rim=settings.rim,
            unit=grid.unit,
            diagonal=grid.diagonal,
            tp=int(counts.tp[index]),
            fp=int(counts.fp[index]),
            fn=int(counts.fn[index]),
            tn=int(counts.tn[index]),
            **{name: float(scores[index]) for name, scores in overlaps.items()},
            **_surface_scores(pair, target, state, settings),
        )
        for index, (target, state) in enumerate(zip(scheme.targets, states, strict=True))
    )


def _surface_scores(pair: LabelPair, target: str, state: Status, settings: ScoreSettings) -> dict[str, float]:
    """Distances and rims of one target; ``cl_dice`` only where it is asked for."""
    if state is not Status.OK:
        distance, agreement = distance_if_empty(state), agreement_if_empty(state)
        missing = {"hd": distance, "hd95": distance, "assd": distance, "masd": distance}
        return {
            **missing,
            "nsd": agreement,
            "boundary_iou": agreement,
            "cl_dice": agreement if target in settings.thin else math.nan,
        }
    return _of_masks(*pair.masks(target), pair.reference.geometry.spacing, target, settings)


def _of_masks(one: Mask, other: Mask, spacing: Spacing, target: str, settings: ScoreSettings) -> dict[str, float]:
    distances = surface_distances(one, other, spacing)
    return {
        "hd": hd(distances),
        "hd95": hd95(distances),
        "assd": assd(distances),
        "masd": masd(distances),
        "nsd": nsd(distances, settings.tolerance_of(target)),
        "boundary_iou": boundary_iou(one, other, spacing, settings.rim),
        "cl_dice": cl_dice(one, other) if target in settings.thin else math.nan,
    }
