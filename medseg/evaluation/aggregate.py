"""Means over cases, with what was left out of them.

The order of averaging: a score belongs to a case and a structure; the foreground of a case is the mean over its
structures that are not empty on both sides; a patient's score is the mean over the patient's cases; the figure that is
stated is the mean over patients, and the interval draws patients. Where nobody says who the patients are, each case
counts as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.core.geometry import LengthUnit
from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore

from .intervals import Bootstrap, Interval, mean_interval

FOREGROUND = "foreground mean"
"""Name of the row that sums up all structures."""

OVERLAPS = ("dice", "iou", "accuracy", "precision", "recall", "specificity")
DISTANCES = ("hd95", "nsd")
VOLUMES = ("volume_predicted", "volume_reference", "volume_difference")

AVERAGING = (
    "the foreground mean of a case is the mean over its structures that are not empty on both sides; the score of a "
    "patient is the mean over the patient's cases; means and intervals are over patients"
)

_SCORES: Mapping[str, Callable[[StructureScore], float]] = {
    "dice": lambda row: row.dice,
    "iou": lambda row: row.iou,
    "accuracy": lambda row: row.accuracy,
    "precision": lambda row: row.precision,
    "recall": lambda row: row.recall,
    "specificity": lambda row: row.specificity,
    "hd95": lambda row: row.diagonal if math.isinf(row.hd95) else row.hd95,
    "nsd": lambda row: row.nsd,
    "volume_predicted": lambda row: row.volume_predicted,
    "volume_reference": lambda row: row.volume_reference,
    "volume_difference": lambda row: row.volume_difference,
}


@dataclass(frozen=True)
class Mean:
    """A mean over patients.

    Attributes:
        value: The mean; NaN if no case has the score.
        patients: Patients that it averages.
        cases: Cases that it averages.
        interval: Its confidence interval.
    """

    value: float
    patients: int
    cases: int
    interval: Interval


@dataclass(frozen=True)
class Summary:
    """Means of one structure, or of the foreground.

    Attributes:
        structure: Its name; `FOREGROUND` for the mean over structures.
        statuses: How many cases (for the foreground: cases times structures) are in each status.
        replaced: Infinite distances that count as the image's diagonal in the mean of ``hd95``.
        means: By name of the score.
    """

    structure: str
    statuses: Mapping[Status, int]
    replaced: int
    means: Mapping[str, Mean]


def summarise(
    rows: Sequence[StructureScore], patients: Mapping[CaseId, str], settings: Bootstrap
) -> tuple[Summary, ...]:
    """A summary per structure, in the order of the rows, and one of the foreground if there are several structures.

    Args:
        rows: Scores of every case.
        patients: Whose case it is.
        settings: How the intervals are made.

    Raises:
        InputError: If some cases are in millimetres and some in pixels.
    """
    if len({row.unit for row in rows}) > 1:
        pixels = len({row.case for row in rows if row.unit is LengthUnit.PIXEL})
        raise InputError(f"{pixels} of the cases have no spacing, the others do; evaluate them apart")
    structures = list(dict.fromkeys(row.structure for row in rows))
    summaries = []
    for structure in structures:
        mine = [row for row in rows if row.structure == structure]
        values = {name: {row.case: score(row) for row in mine} for name, score in _SCORES.items()}
        summaries.append(_summary(structure, mine, values, patients, settings))
    if len(structures) > 1:
        values = {name: foreground(rows, name) for name in (*OVERLAPS, *DISTANCES)}
        summaries.append(_summary(FOREGROUND, rows, values, patients, settings))
    return tuple(summaries)


def foreground(rows: Sequence[StructureScore], name: str) -> dict[CaseId, float]:
    """Mean over the structures of each case that are not empty on both sides; NaN if all are.

    An infinite distance counts as the image's diagonal.
    """
    scores: dict[CaseId, list[float]] = {}
    for row in rows:
        scores.setdefault(row.case, [])
        if row.status is not Status.BOTH_EMPTY:
            scores[row.case].append(_SCORES[name](row))
    return {case: _mean(values) for case, values in scores.items()}


def _summary(
    structure: str,
    rows: Sequence[StructureScore],
    values: Mapping[str, Mapping[CaseId, float]],
    patients: Mapping[CaseId, str],
    settings: Bootstrap,
) -> Summary:
    return Summary(
        structure,
        {status: sum(row.status is status for row in rows) for status in Status},
        sum(math.isinf(row.hd95) for row in rows),
        {name: _mean_over_patients(by_case, patients, settings) for name, by_case in values.items()},
    )


def _mean_over_patients(values: Mapping[CaseId, float], patients: Mapping[CaseId, str], settings: Bootstrap) -> Mean:
    by_patient: dict[str, list[float]] = {}
    for case, value in values.items():
        if not math.isnan(value):
            by_patient.setdefault(patients[case], []).append(value)
    units = np.array([_mean(of_one) for of_one in by_patient.values()], dtype=np.float64)
    cases = sum(map(len, by_patient.values()))
    return Mean(_mean(units.tolist()), len(units), cases, mean_interval(units, settings))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
