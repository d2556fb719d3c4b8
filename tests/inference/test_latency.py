import numpy as np
import pytest

from medseg.inference.latency import Latency, percentile


@pytest.mark.parametrize("count", [1, 2, 5, 20, 99, 100, 101, 1000])
@pytest.mark.parametrize("percent", [1, 50, 95, 99, 100])
def test_percentiles_are_numpys_nearest_rank(count, percent):
    values = np.random.default_rng(count).random(count).tolist()
    assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")


def test_a_hundred_runs_have_all_percentiles():
    latency = Latency.of([float(number) for number in range(100, 0, -1)])
    assert latency == Latency(runs=100, mean_s=50.5, p50_s=50, p95_s=95, p99_s=99, max_s=100)
    assert latency.missing == ""
    assert latency.per_second == pytest.approx(1 / 50.5)


@pytest.mark.parametrize(
    ("runs", "missing"),
    [
        (1, "1 run is too few for p95 (20) and p99 (100)"),
        (5, "5 runs are too few for p95 (20) and p99 (100)"),
        (20, "20 runs are too few for p99 (100)"),
        (99, "99 runs are too few for p99 (100)"),
    ],
)
def test_percentiles_that_would_be_the_maximum_are_left_out(runs, missing):
    latency = Latency.of([1.0] * (runs - 1) + [3.0])
    assert latency.missing == missing
    assert (latency.p95_s is None) == (runs < 20)
    assert latency.p99_s is None
    assert latency.max_s == 3
