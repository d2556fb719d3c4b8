import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr, ndtri

from medseg.evaluation import intervals
from medseg.evaluation.intervals import Bootstrap, Interval, Method, mean_interval, mean_intervals, ratio_interval

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


def test_bca_is_that_of_scipy():
    for values in (
        SKEWED,
        np.random.default_rng(0).beta(18, 2, 38),
        np.random.default_rng(3).lognormal(0, 0.5, 25) / 9,
    ):
        expected = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=1).confidence_interval
        interval = mean_interval(values, Bootstrap())
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.01)


@pytest.mark.parametrize(("ones", "others"), [(18, 2), (9, 1)])
def test_intervals_cover_the_true_mean_about_as_often_as_they_say(ones, others):
    rng = np.random.default_rng(1)
    settings, mean = Bootstrap(resamples=1999), ones / (ones + others)
    found = [mean_interval(rng.beta(ones, others, 30), settings) for _ in range(1000)]
    assert {one.method for one in found} == {Method.BCA}
    assert 0.90 <= np.mean([one.low <= mean <= one.high for one in found]) <= 0.97


def test_a_ratio_is_drawn_as_a_whole():
    parts, wholes = np.array([3.0, 0, 5, 1, 4, 2, 0, 6]), np.array([4.0, 1, 6, 3, 4, 5, 0, 7])
    expected = stats.bootstrap(
        (parts, wholes), lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis), paired=True, vectorized=True,
        n_resamples=9999, method="BCa", rng=1,
    ).confidence_interval  # fmt: skip
    interval = ratio_interval(parts, wholes, Bootstrap())
    assert interval.method is Method.BCA
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_a_mean_is_a_ratio_to_ones():
    assert ratio_interval(SKEWED, np.ones(10), Bootstrap()) == mean_interval(SKEWED, Bootstrap())


def test_several_scores_together_are_as_one_by_one():
    values = np.stack([SKEWED, SKEWED[::-1], np.full(10, 0.5)], axis=1)
    found = mean_intervals(values, Bootstrap(resamples=500))
    for one, alone in zip(found, (mean_interval(column, Bootstrap(resamples=500)) for column in values.T), strict=True):
        assert (one.low, one.high) == pytest.approx((alone.low, alone.high))
        assert one.method is alone.method
    assert [one.method for one in mean_intervals(values[:1], Bootstrap())] == [Method.NONE] * 3


def test_draws_without_anything_to_divide_by_are_left_out():
    interval = ratio_interval(np.array([1.0, 0, 0]), np.array([2.0, 0, 0]), Bootstrap(resamples=500))
    assert interval == Interval(0.5, 0.5, Method.CONSTANT)
    assert ratio_interval(np.zeros(3), np.zeros(3), Bootstrap()).method is Method.NONE


def test_many_units_are_drawn_in_chunks(monkeypatch):
    values = np.random.default_rng(2).beta(18, 2, 40)
    whole = mean_interval(values, Bootstrap(resamples=300, seed=11))
    intervals._counts.cache_clear()
    monkeypatch.setattr(intervals, "_CHUNK", 40 * 7)
    chunked = mean_interval(values, Bootstrap(resamples=300, seed=11))
    assert (chunked.low, chunked.high) == pytest.approx((whole.low, whole.high), abs=1e-9)
    intervals._counts.cache_clear()


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
