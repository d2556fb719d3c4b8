import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import DataError
from medseg.metrics.calibration import brier, ece, reliability


def test_metrics_reloaded_brier_score_is_the_sum_over_both_classes():
    counts = reliability(np.array([0.8, 0.6]), np.array([True, False]))
    assert 2 * brier(counts) == pytest.approx(0.4, abs=0.01)


def test_a_calibrated_model_has_no_error_and_a_bold_one_has():
    rng = np.random.default_rng(0)
    said = rng.random(200_000)
    true = rng.random(200_000) < said
    assert ece(reliability(said, true)) < 0.01
    assert ece(reliability(np.where(said > 0.5, 0.99, 0.01), true)) == pytest.approx(0.24, abs=0.01)


def test_bins_tell_what_was_said_and_what_was_true():
    counts = reliability(np.array([0.05, 0.15, 0.95, 1.0]), np.array([False, True, True, True]), bins=10)
    assert counts.voxels.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert counts.confidence[9] == pytest.approx(0.975)
    assert counts.frequency[:2].tolist() == [0.0, 1.0]
    assert np.isnan(counts.frequency[4])


def test_equal_to_sklearn():
    metrics = pytest.importorskip("sklearn.metrics")
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(1)
    said, true = rng.random(5000), rng.random(5000) < 0.3
    counts = reliability(said, true, bins=10)
    assert brier(counts) == pytest.approx(metrics.brier_score_loss(true, said))
    frequency, confidence = calibration.calibration_curve(true, said, n_bins=10)
    assert counts.frequency == pytest.approx(frequency)
    assert counts.confidence == pytest.approx(confidence)


@given(st.integers(0, 2**32 - 1))
def test_counts_of_parts_add_up(seed):
    rng = np.random.default_rng(seed)
    said, true = rng.random((4, 5, 6), dtype=np.float32), rng.random((4, 5, 6)) < 0.5
    whole = reliability(said, true)
    parts = reliability(said[:2], true[:2]) + reliability(said[2:], true[2:])
    assert (whole.voxels == parts.voxels).all()
    assert ece(whole) == pytest.approx(ece(parts))
    assert brier(whole) == pytest.approx(brier(parts))


def test_no_voxel_is_no_number():
    counts = reliability(np.zeros(0), np.zeros(0, bool))
    assert np.isnan([ece(counts), brier(counts)]).all()


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.2])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(DataError, match="between 0 and 1"):
        reliability(np.array([0.5, value]), np.array([True, False]))


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match="differ in shape"):
        reliability(np.zeros(3), np.zeros(4, bool))
