"""How far a mean or a ratio may be off: bootstrap confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

_CHUNK = 1 << 22


class Method(StrEnum):
    """How an interval came about."""

    BCA = "BCa"
    PERCENTILE = "percentile, as BCa is undefined here"
    CONSTANT = "all values are equal"
    NONE = "fewer than two values"


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        resamples: How often the values are drawn anew.
        level: Share of the intervals that are to cover the true mean.
        seed: Every interval starts from it, so that it does not depend on the others.
    """

    resamples: int = 9999
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """Ends of a confidence interval; NaN if there is none."""

    low: float
    high: float
    method: Method


def mean_interval(values: NDArray[np.float64], settings: Bootstrap) -> Interval:
    """Bias-corrected and accelerated (BCa) bootstrap interval of the mean.

    Args:
        values: One finite value a unit, shape ``(n,)``.
        settings: Resamples, level and seed.

    Returns:
        The interval, and which method gave it: percentiles where BCa is undefined, the value itself where all are
        equal, NaN for fewer than two values.

    References:
        Efron, 1987, JASA 82(397):171; Efron and Tibshirani, 1993, equations 14.9 to 14.15.
    """
    return mean_intervals(values[:, None], settings)[0]


def mean_intervals(values: NDArray[np.float64], settings: Bootstrap) -> list[Interval]:
    """``mean_interval`` of several scores of the same units, shape ``(n, scores)``, which is faster than one by one."""
    units, scores = values.shape
    if units < 2:
        return [Interval(math.nan, math.nan, Method.NONE)] * scores
    means, drawn = values.mean(axis=0), _sums(values, settings) / units
    left_out = (values.sum(axis=0) - values) / (units - 1)
    return [_interval(float(means[one]), drawn[:, one], left_out[:, one], settings) for one in range(scores)]


def ratio_interval(parts: NDArray[np.float64], wholes: NDArray[np.float64], settings: Bootstrap) -> Interval:
    """BCa bootstrap interval of ``sum(parts) / sum(wholes)``, both drawn together; as ``mean_interval``.

    Draws whose wholes add up to nothing have no ratio and are left out.

    Args:
        parts: One number a unit, such as the lesions of a patient that were found.
        wholes: Of the same shape, such as all lesions of the patient.
        settings: Resamples, level and seed.
    """
    whole = float(wholes.sum())
    if len(parts) < 2 or whole == 0:
        return Interval(math.nan, math.nan, Method.NONE)
    sums, rest = _sums(np.stack([parts, wholes], axis=1), settings), whole - wholes
    left_out = np.where(rest != 0, (parts.sum() - parts) / np.where(rest != 0, rest, 1.0), np.nan)
    known = sums[:, 1] != 0
    return _interval(float(parts.sum()) / whole, sums[known, 0] / sums[known, 1], left_out, settings)


def _interval(value: float, drawn: NDArray[np.float64], left_out: NDArray[np.float64], settings: Bootstrap) -> Interval:
    """From a statistic of all units, of each draw, and without each of the units in turn."""
    if np.ptp(drawn) <= _rounding(drawn):
        return Interval(value, value, Method.CONSTANT)
    tails = ((1 - settings.level) / 2, (1 + settings.level) / 2)
    shares = [_bca_share(tail, value, drawn, left_out) for tail in tails]
    method = Method.BCA if np.isfinite(shares).all() and shares[0] < shares[1] else Method.PERCENTILE
    low, high = np.quantile(drawn, shares if method is Method.BCA else tails)
    return Interval(float(low), float(high), method)


def _bca_share(tail: float, value: float, drawn: NDArray[np.float64], left_out: NDArray[np.float64]) -> float:
    """The share of the draws that lies below an end of the interval; NaN where it is undefined."""
    near = _rounding(drawn)
    below = float(((drawn < value - near).mean() + (drawn <= value + near).mean()) / 2)
    apart = left_out.mean() - left_out
    spread = float((apart**2).sum())
    if not (0 < below < 1 and spread > 0):  # a NaN among those left out makes the spread NaN
        return math.nan
    bias, acceleration = float(ndtri(below)), float((apart**3).sum()) / (6 * spread**1.5)
    shifted = bias + float(ndtri(tail))
    return float(ndtr(bias + shifted / (1 - acceleration * shifted))) if acceleration * shifted < 1 else math.nan


def _rounding(drawn: NDArray[np.float64]) -> float:
    """What sums of the same numbers in another order may differ by."""
    return 1e-12 * float(np.abs(drawn).max())


def _sums(values: NDArray[np.float64], settings: Bootstrap) -> NDArray[np.float64]:
    """Sums over the units of each draw, shape ``(resamples, scores)``, from values of shape ``(units, scores)``."""
    counts = _counts(len(values), settings.resamples, settings.seed)
    return np.concatenate([counts[rows].astype(np.float64) @ values for rows in _chunks(*counts.shape)])


@lru_cache(maxsize=2)
def _counts(units: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """How often each draw holds each unit, shape ``(resamples, units)``; the same for all scores of these units."""
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, units), np.uint8)
    for rows in _chunks(resamples, units):
        part = counts[rows]
        places = rng.integers(0, units, part.shape) + units * np.arange(len(part))[:, None]
        part[:] = np.bincount(places.ravel(), minlength=part.size).reshape(part.shape)
    return counts


def _chunks(rows: int, columns: int) -> Iterator[slice]:
    """Rows that together have a bounded number of cells."""
    step = max(1, _CHUNK // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
