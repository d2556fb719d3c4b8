import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from medseg.evaluation.intervals import Bootstrap, Interval, Method, mean_interval

SKEWED = np.array([0.93, 0.91, 0.92, 0.90, 0.88, 0.94, 0.40, 0.89, 0.91, 0.90])


def bca_by_formula(values, resamples=40_000):
    """Efron and Tibshirani, 1993, equations 14.9 to 14.15."""
    rng = np.random.default_rng(42)
    means = values[rng.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
    bias = ndtri((np.mean(means < values.mean()) + np.mean(means <= values.mean())) / 2)
    left_out = (values.sum() - values) / (len(values) - 1)
    apart = left_out.mean() - left_out
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    ends = [bias + (bias + z) / (1 - acceleration * (bias + z)) for z in ndtri([0.025, 0.975])]
    return np.quantile(means, ndtr(ends))


def test_bca_follows_the_book():
    interval = mean_interval(SKEWED, Bootstrap())
    assert interval.method is Method.BCA
    assert (interval.low, interval.high) == pytest.approx(bca_by_formula(SKEWED), abs=0.006)
    assert interval.high - SKEWED.mean() < SKEWED.mean() - interval.low  # leans towards the failure


def test_intervals_cover_the_true_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    settings = Bootstrap(resamples=999)
    found = [mean_interval(rng.beta(18, 2, 30), settings) for _ in range(300)]
    assert 0.90 <= np.mean([one.low <= 0.9 <= one.high for one in found]) <= 0.98


def test_the_seed_decides_and_the_order_of_calls_does_not():
    settings = Bootstrap(resamples=500, seed=3)
    first = mean_interval(SKEWED, settings)
    mean_interval(SKEWED[:5], settings)
    assert mean_interval(SKEWED, settings) == first
    assert mean_interval(SKEWED, Bootstrap(resamples=500, seed=4)) != first


def test_a_lower_level_is_narrower():
    wide, narrow = (mean_interval(SKEWED, Bootstrap(level=level)) for level in (0.95, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_equal_values_are_certain():
    assert mean_interval(np.full(5, 0.7), Bootstrap()) == Interval(0.7, 0.7, Method.CONSTANT)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_too_few_values_have_no_interval(values):
    interval = mean_interval(np.array(values), Bootstrap())
    assert interval.method is Method.NONE
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_where_bca_is_undefined_percentiles_serve_and_say_so():
    # both resamples lie on one side of the mean, so that the bias correction is infinite
    interval = mean_interval(SKEWED, Bootstrap(resamples=2, seed=1))
    assert interval.method is Method.PERCENTILE
    assert math.isfinite(interval.low)
