"""Lesions and other things that come several times: each case's counts, and the scores of all cases together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import CaseId
from medseg.metrics.average_precision import AveragePrecision, Detections, average_precision
from medseg.metrics.crops import LabelPair
from medseg.metrics.instances import (
    InstanceCounts,
    LesionCounts,
    count_lesions,
    instances_of,
    match_instances,
    overlaps,
)

from .intervals import Bootstrap, Interval, ratio_interval
from .settings import MATCH_IOU


@dataclass(frozen=True, eq=False)
class CaseInstances:
    """The instances of one structure in one case.

    Attributes:
        case: The case.
        structure: The structure.
        matched: Matched one to one, where their intersection over union exceeds one half.
        lesions: Those that were touched at all.
        detections: Predicted instances with their mean probability; None where no probabilities are known.
    """

    case: CaseId
    structure: str
    matched: InstanceCounts
    lesions: LesionCounts
    detections: Detections | None = None


@dataclass(frozen=True)
class Ratio:
    """A ratio of what all cases hold together, and its interval over patients; NaN without anything to divide by."""

    value: float
    interval: Interval


@dataclass(frozen=True, eq=False)
class InstanceSummary:
    """The instances of one structure in all cases together.

    Attributes:
        structure: The structure.
        cases: How many.
        patients: Whose they are.
        matched: Counts of all cases.
        lesions: Counts of all cases.
        ratios: By name: ``pq``, ``rq``, ``sq``, ``sensitivity``, ``precision`` and ``false_per_case``.
        average_precision: Over all cases; None where no probabilities are known.
    """

    structure: str
    cases: int
    patients: int
    matched: InstanceCounts
    lesions: LesionCounts
    ratios: Mapping[str, Ratio]
    average_precision: AveragePrecision | None


def _weight(matched: InstanceCounts) -> float:
    return matched.tp + (matched.fp + matched.fn) / 2


def _true(one: CaseInstances) -> int:
    """Predicted instances that lie on a lesion."""
    return one.matched.tp + one.matched.fp - one.lesions.false


_Part = Callable[[CaseInstances], float]

_RATIOS: Mapping[str, tuple[_Part, _Part]] = {
    "pq": (lambda one: one.matched.iou_sum, lambda one: _weight(one.matched)),
    "rq": (lambda one: one.matched.tp, lambda one: _weight(one.matched)),
    "sq": (lambda one: one.matched.iou_sum, lambda one: one.matched.tp),
    "sensitivity": (lambda one: one.lesions.found, lambda one: one.lesions.found + one.lesions.missed),
    "precision": (_true, lambda one: _true(one) + one.lesions.false),
    "false_per_case": (lambda one: one.lesions.false, lambda _: 1),
}


def case_instances(
    case: CaseId, pair: LabelPair, structure: str, probabilities: NDArray[np.floating] | None = None
) -> CaseInstances:
    """The instances of one structure: parts that share no face, edge or corner.

    Args:
        case: The case.
        pair: Prediction and reference.
        structure: A target of the pair's scheme.
        probabilities: Of the structure, shape ``(i, j, k)``, between 0 and 1.
    """
    box = pair.box(structure)
    if box is None:
        detections = None if probabilities is None else Detections(np.zeros(0), np.zeros((0, 0)))
        return CaseInstances(case, structure, InstanceCounts(0, 0, 0, 0.0), LesionCounts(0, 0, 0), detections)
    predicted, reference = (instances_of(mask) for mask in pair.masks(structure))
    found = overlaps(predicted, reference)
    detections = None
    if probabilities is not None:
        sums = np.bincount(predicted.ravel(), weights=probabilities[box].ravel(), minlength=len(found.predicted) + 1)
        detections = Detections(sums[1:] / found.predicted, found.iou)
    return CaseInstances(case, structure, match_instances(found, MATCH_IOU), count_lesions(found), detections)


def summarise_instances(
    cases: Sequence[CaseInstances], patients: Mapping[CaseId, str], settings: Bootstrap
) -> tuple[InstanceSummary, ...]:
    """All cases together, a summary a structure: counts are added up and divided then; intervals draw patients."""
    structures = list(dict.fromkeys(one.structure for one in cases))
    return tuple(_summary([one for one in cases if one.structure == name], patients, settings) for name in structures)


def _summary(cases: Sequence[CaseInstances], patients: Mapping[CaseId, str], settings: Bootstrap) -> InstanceSummary:
    units = list(dict.fromkeys(patients[one.case] for one in cases))
    detections = [one.detections for one in cases if one.detections is not None]
    return InstanceSummary(
        cases[0].structure,
        len(cases),
        len(units),
        sum((one.matched for one in cases), InstanceCounts(0, 0, 0, 0.0)),
        sum((one.lesions for one in cases), LesionCounts(0, 0, 0)),
        {
            name: _ratio(_sums(cases, part, patients, units), _sums(cases, whole, patients, units), settings)
            for name, (part, whole) in _RATIOS.items()
        },
        average_precision(detections) if len(detections) == len(cases) else None,
    )


def _ratio(parts: NDArray[np.float64], wholes: NDArray[np.float64], settings: Bootstrap) -> Ratio:
    whole = float(wholes.sum())
    value = math.nan if whole == 0 else float(parts.sum()) / whole
    return Ratio(value, ratio_interval(parts, wholes, settings))


def _sums(
    cases: Sequence[CaseInstances], part: _Part, patients: Mapping[CaseId, str], units: Sequence[str]
) -> NDArray[np.float64]:
    """What each patient's cases hold together."""
    sums = dict.fromkeys(units, 0.0)
    for one in cases:
        sums[patients[one.case]] += part(one)
    return np.array(list(sums.values()), np.float64)
