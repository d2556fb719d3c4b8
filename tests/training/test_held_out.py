"""Predictions of cases that did not train: kept small, and what they are needed for does not change by that."""

from __future__ import annotations

import numpy as np
import pytest
from factories import geometry, label_map, scheme
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax

from medseg.core.errors import DataError
from medseg.core.labels import LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.inference.calibration import Calibration, fit_thresholds
from medseg.inference.restore import Prediction
from medseg.training.held_out import (
    HeldOut,
    decided,
    hold_out,
    read_dice,
    read_held_out,
    read_sample,
    sample_size,
    tempered,
    write_held_out,
)

GRID = geometry((6, 7, 8), codes="LPS", oblique_degrees=10)
EXCLUSIVE = scheme()
REGIONS = LabelScheme(EXCLUSIVE.structures, (Region("both", ("one", "two")), Region("inner", ("two",))))


def shares(seed=0, exclusive=True) -> np.ndarray:
    """Probabilities of two targets."""
    logits = np.random.default_rng(seed).normal(0, 3, (3, *GRID.shape))
    return (softmax(logits, axis=0)[1:] if exclusive else expit(logits[1:])).astype(np.float16)


def kept(kind=EXCLUSIVE, seed=0) -> HeldOut:
    probabilities = shares(seed, kind.is_exclusive)
    labels = decided(probabilities, GRID, kind, Calibration())
    reference = label_map(GRID, seed=seed)
    return hold_out(Prediction(labels, probabilities), reference, kind, 50, np.random.default_rng(0))


@pytest.mark.parametrize("kind", [EXCLUSIVE, REGIONS], ids=["exclusive", "regions"])
def test_what_is_written_is_read(tmp_path, kind):
    held = kept(kind)
    write_held_out(tmp_path / "00000.npz", held)
    again = read_held_out(tmp_path / "00000.npz")
    assert again.geometry.is_close(GRID)
    assert np.array_equal(again.levels, held.levels)
    one, other = again.labels(kind, Calibration()), held.labels(kind, Calibration())
    assert type(one) is type(other)
    assert np.array_equal(one.array, other.array)
    assert np.allclose(read_sample(tmp_path / "00000.npz").probabilities, held.sample.probabilities, atol=1e-6)
    assert np.array_equal(read_dice(tmp_path / "00000.npz"), held.dice)
    assert [path.name for path in tmp_path.iterdir()] == ["00000.npz"]


def test_labels_are_those_that_were_predicted():
    labels = label_map(GRID, seed=3)
    held = hold_out(Prediction(labels, shares()), labels, EXCLUSIVE, 10, np.random.default_rng(0))
    assert np.array_equal(held.labels(EXCLUSIVE, Calibration()).array, labels.array)
    assert held.dice.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("threshold", np.arange(5, 100, 5) / 100)
def test_a_threshold_parts_levels_as_it_parts_probabilities(threshold):
    exact = np.linspace(0, 1, 1000 * len(REGIONS.targets)).astype(np.float16).reshape(2, 10, 10, 10)
    grid = geometry((10, 10, 10))
    half = MultiLabelMap(exact > 0.5, grid, REGIONS.targets)
    held = hold_out(Prediction(half, exact), label_map(grid), REGIONS, 10, np.random.default_rng(0))
    calibration = Calibration(thresholds=dict.fromkeys(REGIONS.targets, threshold))
    wanted = decided(exact, grid, REGIONS, calibration)
    assert np.array_equal(held.labels(REGIONS, calibration).array, wanted.array)


def test_thresholds_are_chosen_as_from_the_probabilities_themselves():
    references = [label_map(GRID, seed=seed) for seed in range(4)]
    exact = fit_thresholds([(shares(seed, exclusive=False), references[seed]) for seed in range(4)], REGIONS)
    levels = fit_thresholds([(kept(REGIONS, seed).probabilities, references[seed]) for seed in range(4)], REGIONS)
    assert levels == exact != {}


def test_the_most_probable_wins_with_the_background_among_them():
    probabilities = shares()
    everything = np.concatenate([1 - probabilities.sum(axis=0, keepdims=True, dtype=np.float32), probabilities])
    found = decided(probabilities, GRID, EXCLUSIVE, Calibration())
    assert isinstance(found, LabelMap)
    assert np.array_equal(found.array, everything.argmax(axis=0))


@given(temperature=st.floats(0.3, 5), seed=st.integers(0, 3))
def test_a_temperature_divides_logits(temperature, seed):
    one = tempered(shares(seed), temperature, exclusive=True)
    p = shares(seed).astype(np.float64)
    logits = np.log(np.clip(np.concatenate([1 - p.sum(axis=0, keepdims=True), p]), 1e-7, 1))
    assert np.allclose(one, softmax(logits / temperature, axis=0)[1:], atol=2e-3)
    other = tempered(shares(seed, exclusive=False), temperature, exclusive=False)
    q = np.clip(shares(seed, exclusive=False).astype(np.float64), 1e-7, 1 - 1e-7)
    assert np.allclose(other, expit(logit(q) / temperature), atol=2e-3)


def test_no_temperature_changes_nothing():
    assert tempered(shares(), 1.0, exclusive=True) is not None
    assert np.array_equal(tempered(shares(), 1.0, exclusive=True), shares())


@pytest.mark.parametrize(
    ("cases", "channels", "count"), [(10, 3, 10_000), (200, 101, 198), (10**6, 3, 100), (0, 3, 10_000)]
)
def test_samples_of_all_cases_together_stay_small(cases, channels, count):
    assert sample_size(cases, channels) == count


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    (tmp_path / "00000.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"out-of-fold prediction 00000\.npz is missing or damaged"):
        read_held_out(tmp_path / "00000.npz")
    with pytest.raises(DataError, match="resume the fold"):
        read_sample(tmp_path / "absent.npz")
