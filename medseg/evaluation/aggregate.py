"""Means over cases, with what was left out of them.

The order of averaging: a score belongs to a case and a structure; the foreground of a case is the mean over its
structures that are not empty on both sides; a patient's score is the mean over the patient's cases; the figure that is
stated is the mean over patients, and the interval draws patients. Where nobody says who the patients are, each case
counts as one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.core.geometry import LengthUnit
from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore

from .intervals import Bootstrap, Interval, mean_intervals
from .score_names import CENTRE_LINE, SCORES, Kind

FOREGROUND = "foreground mean"
"""Name of the row that sums up all structures."""

AVERAGING = (
    "the foreground mean of a case is the mean over its structures that are not empty on both sides; the score of a "
    "patient is the mean over the patient's cases; means, medians and intervals are over patients"
)


@dataclass(frozen=True)
class Mean:
    """A mean over patients.

    Attributes:
        value: The mean; NaN if no case has the score.
        median: The median of the patients; NaN likewise.
        patients: Patients that it averages.
        cases: Cases that it averages.
        interval: Confidence interval of the mean.
    """

    value: float
    median: float
    patients: int
    cases: int
    interval: Interval


@dataclass(frozen=True)
class Summary:
    """Means of one structure, or of the foreground.

    Attributes:
        structure: Its name; `FOREGROUND` for the mean over structures.
        statuses: How many cases (for the foreground: cases times structures) are in each status.
        replaced: Infinite distances that count as the image's diagonal in means of distances.
        means: By name of the score; without ``cl_dice`` where nobody asked for it.
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
        is_thin = any(not math.isnan(row.cl_dice) for row in mine)
        names = [name for name in SCORES if name != CENTRE_LINE or is_thin]
        values = {name: {row.case: SCORES[name].of(row) for row in mine} for name in names}
        summaries.append(_summary(structure, mine, values, patients, settings))
    if len(structures) > 1:
        names = [name for name, score in SCORES.items() if score.kind is not Kind.VOLUME and name != CENTRE_LINE]
        values = {name: foreground(rows, name) for name in names}
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
            scores[row.case].append(SCORES[name].of(row))
    return {case: mean(values) for case, values in scores.items()}


def by_patient(values: Mapping[CaseId, float], patients: Mapping[CaseId, str]) -> dict[str, float]:
    """The mean over each patient's cases; without patients none of whose cases has a value."""
    cases: dict[str, list[float]] = {}
    for case, value in values.items():
        if not math.isnan(value):
            cases.setdefault(patients[case], []).append(value)
    return {patient: mean(of_one) for patient, of_one in cases.items()}


def mean_over_patients(values: Mapping[CaseId, float], patients: Mapping[CaseId, str], settings: Bootstrap) -> Mean:
    """The mean of a score of each case; NaN is left out."""
    return means_over_patients({"": values}, patients, settings)[""]


def means_over_patients(
    values: Mapping[str, Mapping[CaseId, float]], patients: Mapping[CaseId, str], settings: Bootstrap
) -> dict[str, Mean]:
    """The means of several scores of each case; of each, NaN is left out."""
    units = {name: by_patient(by_case, patients) for name, by_case in values.items()}
    intervals = _intervals(units, settings)
    return {
        name: Mean(
            mean(list(of_one.values())),
            statistics.median(of_one.values()) if of_one else math.nan,
            len(of_one),
            sum(not math.isnan(value) for value in values[name].values()),
            intervals[name],
        )
        for name, of_one in units.items()
    }


def _intervals(units: Mapping[str, Mapping[str, float]], settings: Bootstrap) -> dict[str, Interval]:
    """The interval of each score; those of the same patients are made together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name, of_one in units.items():
        together.setdefault(tuple(of_one), []).append(name)
    found: dict[str, Interval] = {}
    for names in together.values():
        table = np.array([list(units[name].values()) for name in names], np.float64).T
        found |= dict(zip(names, mean_intervals(table, settings), strict=True))
    return found


def mean(values: Sequence[float]) -> float:
    """Mean of the values that are there; NaN if there is none."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


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
        means_over_patients(values, patients, settings),
    )
