"""Two models on the same cases: how much better one is, and whether that may be chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import CaseId

from .intervals import Bootstrap, Interval, mean_interval

_BATCH = 1000


@dataclass(frozen=True)
class PairedDifference:
    """One score of one structure of two models, over the patients that both have it for.

    Attributes:
        structure: Structure, or the foreground mean.
        score: Name of the score.
        one: Mean of the first model.
        other: Mean of the second.
        difference: Second minus first.
        interval: Of the difference.
        p: Two-sided p value of the permutation test; NaN for fewer than two patients.
        p_adjusted: After Holm's correction over all comparisons of one table.
        patients: How many.
        cases: How many.
        left_out: Cases that only one model has a value for, among them such as only one left empty.
        better, worse, equal: Patients for whom the second model does better, worse or equally well.
    """

    structure: str
    score: str
    one: float
    other: float
    difference: float
    interval: Interval
    p: float
    p_adjusted: float
    patients: int
    cases: int
    left_out: int
    better: int
    worse: int
    equal: int


def paired_difference(
    names: tuple[str, str],
    one: Mapping[CaseId, float],
    other: Mapping[CaseId, float],
    patients: Mapping[CaseId, str],
    settings: Bootstrap,
    *,
    higher_is_better: bool = True,
) -> PairedDifference:
    """Compare one score of two models.

    A patient's value is the mean over the patient's cases, of those that both models have a value for. The interval is
    the bootstrap's over patients; the test flips the signs of the patients' differences.

    Args:
        names: Structure and score.
        one: Values of the first model by case; NaN where it has none.
        other: Values of the second.
        patients: Whose case it is.
        settings: How intervals are made; its ``resamples`` and ``seed`` are the test's too.
        higher_is_better: Whether the larger value is the better one.
    """
    both = [case for case in one if case in other and not math.isnan(one[case]) and not math.isnan(other[case])]
    known = {case for values in (one, other) for case, value in values.items() if not math.isnan(value)}
    units = list(dict.fromkeys(patients[case] for case in both))
    means = np.array([_by_patient(values, both, patients, units) for values in (one, other)]).reshape(2, len(units))
    differences = means[1] - means[0]
    gains = differences if higher_is_better else -differences
    first, second = (float(side.mean()) if units else math.nan for side in means)
    return PairedDifference(
        structure=names[0],
        score=names[1],
        one=first,
        other=second,
        difference=second - first,
        interval=mean_interval(differences, settings),
        p=sign_flip_test(differences, settings),
        p_adjusted=math.nan,
        patients=len(units),
        cases=len(both),
        left_out=len(known) - len(both),
        better=int((gains > 0).sum()),
        worse=int((gains < 0).sum()),
        equal=int((differences == 0).sum()),
    )


def with_adjusted(differences: Sequence[PairedDifference]) -> tuple[PairedDifference, ...]:
    """The same comparisons with p values corrected for their number."""
    adjusted = holm([one.p for one in differences])
    return tuple(replace(one, p_adjusted=p) for one, p in zip(differences, adjusted, strict=True))


def sign_flip_test(differences: NDArray[np.float64], settings: Bootstrap) -> float:
    """Two-sided p value of the hypothesis that differences are as likely to be positive as negative.

    All sign patterns are gone through where there are no more than ``settings.resamples``, else so many are drawn, and
    the observed one counts among them (Phipson and Smyth, 2010, SAGMB 9:39).

    Args:
        differences: One a patient, shape ``(n,)``.
        settings: Gives ``resamples`` and ``seed``.

    Returns:
        In ``(0, 1]``; NaN for fewer than two patients, 1 where all differences are zero.
    """
    count = len(differences)
    if count < 2:
        return math.nan
    observed = abs(float(differences.sum()))
    limit = observed - 1e-12 * float(np.abs(differences).sum())
    if count < 63 and 2**count <= settings.resamples:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count) & 1) * 2 - 1
        return float((np.abs(patterns @ differences) >= limit).mean())
    rng, extreme = np.random.default_rng(settings.seed), 0
    for start in range(0, settings.resamples, _BATCH):
        rows = min(_BATCH, settings.resamples - start)
        signs = rng.integers(0, 2, (rows, count), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ differences) >= limit).sum())
    return (extreme + 1) / (settings.resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values that hold for all comparisons together; NaN stays NaN and does not count.

    References:
        Holm, 1979, Scandinavian Journal of Statistics 6:65.
    """
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _by_patient(
    values: Mapping[CaseId, float], cases: Sequence[CaseId], patients: Mapping[CaseId, str], units: Sequence[str]
) -> list[float]:
    mine: dict[str, list[float]] = {unit: [] for unit in units}
    for case in cases:
        mine[patients[case]].append(values[case])
    return [math.fsum(of_one) / len(of_one) for of_one in mine.values()]
