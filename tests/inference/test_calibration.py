from __future__ import annotations

import numpy as np
import pytest
from factories import geometry, label_map, scheme
from pydantic import ValidationError

from medseg.config.schemes import label_scheme
from medseg.config.sections import LabelsSection
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap
from medseg.inference.calibration import (
    COLDEST,
    Calibration,
    VoxelSample,
    fit_temperature,
    fit_thresholds,
    logits_of,
    sample_voxels,
)

REGIONS = label_scheme(
    LabelsSection.model_validate(
        {
            "structures": [{"name": "core", "value": 1}, {"name": "rim", "value": 2}],
            "regions": [{"name": "whole", "structures": ("core", "rim")}, {"name": "inner", "structures": ("core",)}],
            "ignore": 9,
        }
    )
)


def drawn(temperature: float, voxels=20_000, classes=4, seed=0):
    """Logits that are too sure by a temperature, and the labels that they should have told."""
    rng = np.random.default_rng(seed)
    honest = 2 * rng.normal(size=(voxels, classes))
    shares = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < rng.random((voxels, 1))).sum(axis=1).clip(max=classes - 1)
    return honest * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_is_that_of_scipy_and_scikit_learn(temperature):
    from scipy.optimize import minimize_scalar
    from scipy.special import softmax
    from sklearn.metrics import log_loss

    logits, labels = drawn(temperature)
    best = minimize_scalar(
        lambda t: log_loss(labels, softmax(logits / t, axis=1), labels=range(4)), bounds=(0.1, 10), method="bounded"
    )
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(best.x, abs=1e-4)
    assert found == pytest.approx(temperature, rel=0.05)
    assert log_loss(labels, softmax(logits / found, axis=1)) <= log_loss(labels, softmax(logits, axis=1))


def test_temperature_of_targets_that_overlap_is_that_of_scipy_and_scikit_learn():
    from scipy.optimize import minimize_scalar
    from scipy.special import expit
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(1)
    honest = 3 * rng.normal(size=(20_000, 2))
    labels = (rng.random(honest.shape) < expit(honest)).astype(np.uint8)
    logits = 1.7 * honest
    best = minimize_scalar(
        lambda t: log_loss(labels.ravel(), expit(logits / t).ravel()), bounds=(0.1, 10), method="bounded"
    )
    assert fit_temperature(logits, labels) == pytest.approx(best.x, abs=1e-4)


def test_no_voxels_leave_probabilities_as_they_are():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, np.uint8)) == 1.0
    assert fit_temperature(np.zeros((0, 3)), np.zeros((0, 3), np.uint8)) == 1.0


def test_a_model_that_is_always_right_gets_the_least_temperature():
    assert COLDEST <= fit_temperature(np.eye(3) * 5, np.arange(3)) < 2 * COLDEST


@pytest.mark.parametrize("exclusive", [True, False])
def test_logits_give_back_the_probabilities(exclusive):
    from scipy.special import expit, softmax

    raw = np.random.default_rng(0).normal(size=(50, 3))
    probabilities = softmax(raw, axis=1) if exclusive else expit(raw)
    logits = logits_of(probabilities, exclusive=exclusive)
    assert np.allclose(softmax(logits, axis=1) if exclusive else expit(logits), probabilities)
    assert np.isfinite(logits_of(np.array([[0.0, 1.0], [1.0, 0.0]]), exclusive=exclusive)).all()


def test_sampled_voxels_are_what_lies_there():
    grid, known = geometry((30, 31, 32)), scheme("one", "two")
    values = np.zeros(grid.shape, np.uint8)
    values[10:14, 10:14, 10:14] = label_map(geometry((4, 4, 4)), values=(1, 2)).array
    hot = np.stack([values == 1, values == 2]).astype(np.float16) * np.float16(0.75)
    sample = sample_voxels(hot, LabelMap(values, grid), known, 500, np.random.default_rng(0))
    assert sample.probabilities.shape == (500, 3)
    assert np.allclose(sample.probabilities.sum(axis=1), 1)
    assert np.array_equal(sample.probabilities[:, 1:] > 0, sample.labels[:, None] == [1, 2])
    everything = sample_voxels(hot, LabelMap(values, grid), known, 10**6, np.random.default_rng(0))
    assert len(everything.labels) == 20**3, "the structures, and 8 voxels around"
    assert (everything.labels > 0).sum() == 64


def test_voxels_that_nobody_labelled_are_not_drawn():
    grid = geometry((12, 12, 12))
    values = label_map(grid, values=(0, 1, 2, 9)).array
    sample = sample_voxels(
        np.zeros((2, *grid.shape), np.float16), LabelMap(values, grid), REGIONS, 10**6, np.random.default_rng(0)
    )
    assert len(sample.labels) == (values != 9).sum()
    assert sample.labels.sum(axis=0).tolist() == [((values == 1) | (values == 2)).sum(), (values == 1).sum()]


def test_a_case_without_any_target_gives_no_voxels():
    grid = geometry()
    empty = LabelMap(np.zeros(grid.shape, np.uint8), grid)
    sample = sample_voxels(np.zeros((2, *grid.shape)), empty, scheme(), 10, np.random.default_rng(0))
    assert sample.labels.shape == (0,)
    joined = VoxelSample.joined([sample, sample])
    assert fit_temperature(joined.logits, joined.labels) == 1.0


def plain_best(cases, known: LabelScheme):
    """Mean Dice of every threshold and target, written out."""
    table = {}
    for place, target in enumerate(known.targets):
        for percent in range(5, 100, 5):
            values = []
            for probabilities, reference in cases:
                counted = reference.array != 9
                predicted = (probabilities[place].astype(float) > percent / 100) & counted
                true = known.mask(reference, target) & counted
                both = predicted.sum() + true.sum()
                values.append(2 * (predicted & true).sum() / both if both else 1.0)
            table[target, percent / 100] = np.mean(values)
    return table


def test_thresholds_have_the_best_mean_dice():
    rng, cases = np.random.default_rng(0), []
    for seed in range(4):
        reference = label_map(geometry((9, 10, 11)), values=(0, 0, 0, 1, 2, 9), seed=seed)
        masks = np.stack([REGIONS.mask(reference, target) for target in REGIONS.targets])
        # Timid about the whole, bold about what lies inside.
        centres = np.where(masks, [[[[0.35]]], [[[0.9]]]], [[[[0.15]]], [[[0.6]]]])
        cases.append(((centres + rng.normal(0, 0.1, centres.shape)).clip(0, 1).astype(np.float16), reference))
    found, table = fit_thresholds(cases, REGIONS), plain_best(cases, REGIONS)
    for target in REGIONS.targets:
        scores = {threshold: score for (name, threshold), score in table.items() if name == target}
        assert scores[found[target]] == pytest.approx(max(scores.values()))
    assert found["whole"] < 0.5 < found["inner"]


def test_half_stays_where_nothing_is_gained():
    reference = label_map(geometry(), values=(0, 1, 2))
    masks = np.stack([REGIONS.mask(reference, target) for target in REGIONS.targets]).astype(np.float16)
    assert fit_thresholds([(masks, reference)], REGIONS) == {}
    assert fit_thresholds([], REGIONS) == {}


def test_a_softmax_has_no_thresholds():
    assert fit_thresholds([(np.zeros((2, *geometry().shape)), label_map())], scheme()) == {}


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"temperature": float("nan")}, {"thresholds": {"a": 1.0}}])
def test_a_calibration_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError, match=r"greater than|less than|finite"):
        Calibration.model_validate(wrong)
