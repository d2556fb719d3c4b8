"""How far a mean may be off: bootstrap confidence intervals."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_BATCH = 1000


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
        Efron, 1987, JASA 82(397):171, through scipy.stats.bootstrap.
    """
    if len(values) < 2:
        return Interval(math.nan, math.nan, Method.NONE)
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]), Method.CONSTANT)
    for method in (Method.BCA, Method.PERCENTILE):
        low, high = _bootstrap(values, settings, method)
        if math.isfinite(low) and math.isfinite(high):
            break
    return Interval(low, high, method)


def _bootstrap(values: NDArray[np.float64], settings: Bootstrap, method: Method) -> tuple[float, float]:
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=settings.resamples,
            batch=_BATCH,
            vectorized=True,
            confidence_level=settings.level,
            method="BCa" if method is Method.BCA else "percentile",
            rng=np.random.default_rng(settings.seed),
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
