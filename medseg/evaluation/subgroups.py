"""Whether a model serves all groups of patients alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .intervals import Bootstrap, Interval, mean_interval
from .paired import holm

FEWEST = 10
"""Patients below which a group is too small to judge."""
_BATCH = 500


@dataclass(frozen=True)
class Group:
    """Patients with one value of an attribute.

    Attributes:
        value: The value.
        patients: How many there are.
        mean: Of their scores.
        interval: Of the mean.
        is_judged: Whether there are enough of them to be part of gap and test.
    """

    value: str
    patients: int
    mean: float
    interval: Interval
    is_judged: bool


@dataclass(frozen=True)
class SubgroupAudit:
    """One score by one attribute.

    Attributes:
        attribute: Such as ``sex``.
        groups: By value.
        unknown: Patients without the attribute, or with several values of it.
        gap: Largest minus smallest mean of the judged groups; NaN for fewer than two.
        worst: Value of the judged group of the lowest mean; None for fewer than two.
        p: Of the hypothesis that the score does not depend on the attribute; NaN for fewer than two judged groups.
        p_adjusted: After Holm's correction over all attributes of one audit.
        equity_scaled: Mean of all judged patients, divided by one plus the summed distances of the groups from it; NaN
            for fewer than two.
    """

    attribute: str
    groups: tuple[Group, ...]
    unknown: int
    gap: float
    worst: str | None
    p: float
    p_adjusted: float
    equity_scaled: float


def audit_subgroups(
    scores: Mapping[str, float], attributes: Mapping[str, Mapping[str, str]], settings: Bootstrap, fewest: int = FEWEST
) -> tuple[SubgroupAudit, ...]:
    """A score by each of some attributes.

    Args:
        scores: By patient; higher is better. NaN is left out.
        attributes: Value by patient, by attribute; patients that an attribute does not name are unknown to it.
        settings: How intervals and tests are made.
        fewest: Patients that a group needs to be judged.

    References:
        Tian et al., 2024, ICLR (FairSeg; equity-scaled scores), with the mean over all patients.
    """
    known = {patient: score for patient, score in scores.items() if not math.isnan(score)}
    audits = [_audit(name, known, values, settings, fewest) for name, values in attributes.items()]
    adjusted = holm([one.p for one in audits])
    return tuple(replace(one, p_adjusted=p) for one, p in zip(audits, adjusted, strict=True))


def band_of(number: float, edges: Sequence[float], *, whole: bool = True) -> str:
    """Band of a number, such as ``40 to 59`` for ages and the edges 20, 40, 60; ``under 20`` and ``60 and over``.

    Args:
        number: The number.
        edges: Lower ends of the bands, ascending.
        whole: Whether all numbers are whole; else bands are called ``40 to under 60``.
    """
    place = int(np.searchsorted(edges, number, side="right"))
    if place == 0:
        return f"under {edges[0]:g}"
    if place == len(edges):
        return f"{edges[-1]:g} and over"
    low, high = float(edges[place - 1]), float(edges[place])
    counts = whole and low.is_integer() and high.is_integer() and low < high - 1
    return f"{low:g} to {high - 1:g}" if counts else f"{low:g} to under {high:g}"


def value_order(value: str) -> tuple[float, str]:
    """Numbers and bands by their size, then other values by name."""
    if value.startswith("under "):
        return -math.inf, value
    leading = re.match(r"-?\d+(\.\d+)?", value)
    return float(leading.group()) if leading else math.inf, value


def _audit(
    name: str, scores: Mapping[str, float], values: Mapping[str, str], settings: Bootstrap, fewest: int
) -> SubgroupAudit:
    by_value: dict[str, list[float]] = {}
    for patient, score in scores.items():
        if values.get(patient):
            by_value.setdefault(values[patient], []).append(score)
    ordered = sorted(by_value.items(), key=lambda item: value_order(item[0]))
    groups = tuple(_group(value, np.array(mine), settings, fewest) for value, mine in ordered)
    unknown = len(scores) - sum(one.patients for one in groups)
    judged = [one for one in groups if one.is_judged]
    if len(judged) < 2:
        return SubgroupAudit(name, groups, unknown, math.nan, None, math.nan, math.nan, math.nan)
    low, high = min(judged, key=lambda one: one.mean), max(judged, key=lambda one: one.mean)
    samples = [np.array(by_value[one.value]) for one in judged]
    overall = float(np.concatenate(samples).mean())
    spread = sum(abs(one.mean - overall) for one in judged)
    p = independence_test(samples, settings)
    return SubgroupAudit(name, groups, unknown, high.mean - low.mean, low.value, p, math.nan, overall / (1 + spread))


def _group(value: str, scores: NDArray[np.float64], settings: Bootstrap, fewest: int) -> Group:
    return Group(value, len(scores), float(scores.mean()), mean_interval(scores, settings), len(scores) >= fewest)


def independence_test(samples: Sequence[NDArray[np.float64]], settings: Bootstrap) -> float:
    """P value of a permutation test: how often shuffled groups differ as much as these.

    The statistic is the sum of squares between groups, which weighs a group by its patients. It is as powerful as the F
    test, and needs no normal distribution.

    Args:
        samples: Scores of each group, at least two groups.
        settings: Resamples and seed.

    Returns:
        In ``(0, 1]``, the observed order counted among the shuffled ones.
    """
    values = np.concatenate(samples)
    values = values - values.mean()
    sizes = np.array([len(one) for one in samples])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    observed = float((np.add.reduceat(values, starts) ** 2 / sizes).sum())
    rng, extreme = np.random.default_rng(settings.seed), 0
    for start in range(0, settings.resamples, _BATCH):
        rows = min(_BATCH, settings.resamples - start)
        shuffled = rng.permuted(np.broadcast_to(values, (rows, len(values))), axis=1)
        between = (np.add.reduceat(shuffled, starts, axis=1) ** 2 / sizes).sum(axis=1)
        extreme += int((between >= observed - 1e-12 * abs(observed)).sum())
    return (extreme + 1) / (settings.resamples + 1)
