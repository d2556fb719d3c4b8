"""Models whose logits are averaged, as nnU-Net does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import bundle, geometry, run_config, volume
from fixed_network import Fixed

from medseg.config.schemes import label_scheme
from medseg.core.volume import LabelMap
from medseg.inference.bundle import Bundle
from medseg.inference.calibration import Calibration
from medseg.inference.ensemble import ensemble
from medseg.inference.predictor import Predictor, segment_prepared
from medseg.inference.settings import PredictionSettings

LOGITS = {"inference": {"average": "logits"}}
MAPS = PredictionSettings(device="cpu", precision="fp32", probabilities=True, entropy=True)
LABELS = PredictionSettings(device="cpu", precision="fp32")
REGIONS = {
    "structures": [{"name": "core", "value": 1}, {"name": "rim", "value": 2}],
    "regions": [{"name": "whole", "structures": ("core", "rim")}, {"name": "inner", "structures": ("core",)}],
}


def model(seed: int, **changes) -> Bundle:
    """Random weights, and logits large enough to differ."""
    torch.manual_seed(seed)
    made = bundle(**changes)
    made.members[0].network.register_forward_hook(lambda *arguments: 4 * arguments[2])
    return made


def pair(*logits, **changes) -> Bundle:
    return ensemble([bundle(Fixed(*one), **LOGITS, **changes) for one in logits])


def test_the_softmax_of_the_mean():
    maps = Predictor(pair((0.0, 6.0, 0.0), (0.0, -1.0, 2.0)), MAPS).predict(volume()).probabilities
    expected = torch.tensor([0.0, 2.5, 1.0]).softmax(0).numpy()
    assert np.allclose(maps, expected[1:, None, None, None], atol=1e-3)


def test_the_sigmoid_of_the_mean():
    found = Predictor(pair((4.0, -4.0), (-3.0, 3.0), labels=REGIONS), MAPS).predict(volume())
    assert np.allclose(found.probabilities[:, 0, 0, 0], torch.tensor([0.5, -0.5]).sigmoid(), atol=1e-3)
    assert found.labels.array[0].all()
    assert not found.labels.array[1].any()


def test_a_temperature_divides_the_mean():
    made = pair((0.0, 6.0, 0.0), (0.0, -2.0, 0.0))
    maps = Predictor(replace(made, calibration=Calibration(temperature=2.0)), MAPS).predict(volume()).probabilities
    assert np.allclose(maps[:, 0, 0, 0], torch.tensor([0.0, 1.0, 0.0]).softmax(0)[1:], atol=1e-3)


@pytest.mark.parametrize("labels", [None, REGIONS])
@pytest.mark.parametrize("spacing", [None, (1.5, 1.0, 3.5)])
def test_labels_are_those_of_the_probabilities(labels, spacing):
    changes = LOGITS | ({"labels": labels} if labels else {}) | {"preprocessing": {"spacing": spacing}}
    made, image = model(0, **changes), volume(geometry((25, 20, 18), codes="LPS"))
    alone, together = (Predictor(made, settings).predict(image) for settings in (LABELS, MAPS))
    assert np.array_equal(alone.labels.array, together.labels.array)
    maps = together.probabilities.astype(np.float32)
    if labels:
        clear = np.abs(maps - 0.5) > 2e-3
        assert np.array_equal(together.labels.array[clear], (maps > 0.5)[clear])
        return
    whole = np.concatenate([1 - maps.sum(axis=0, keepdims=True), maps])
    first, second = np.sort(whole, axis=0)[[-1, -2]]
    clear = first - second > 5e-3
    assert clear.mean() > 0.8
    assert np.array_equal(together.labels.array[clear], whole.argmax(axis=0)[clear])
    assert together.entropy.min() >= 0
    assert together.entropy.max() <= 1


def test_members_of_several_plans_are_averaged_as_probabilities():
    slices = {"preprocessing": {"spacing": (1.0, 1.0, 2.0), "resample_slices": False}}
    parts, image = [model(1, dims=2, **slices, **LOGITS), model(2, **LOGITS)], volume(geometry((20, 18, 16)))
    together = Predictor(ensemble(parts), MAPS).predict(image)
    mean = np.mean([Predictor(one, MAPS).predict(image).probabilities.astype(np.float64) for one in parts], axis=0)
    assert np.allclose(together.probabilities, mean, atol=2e-3)


@pytest.mark.parametrize("labels", [None, REGIONS])
def test_the_agreement_of_members_is_that_of_their_own_labels(labels):
    changes = {"labels": labels} if labels else {}
    image, settings = volume(geometry((16, 14, 12))), replace(LABELS, agreement=True)
    found = [
        Predictor(ensemble([model(seed, **changes, **how) for seed in (1, 2)]), settings).predict(image).agreement
        for how in (LOGITS, {})
    ]
    assert found[0] == pytest.approx(found[1], nan_ok=True)


def test_validation_while_training_averages_alike():
    config = run_config(**LOGITS)
    network = model(3, **LOGITS).members[0].network
    image = np.random.default_rng(0).normal(size=(1, 20, 18, 17)).astype(np.float32)
    found = segment_prepared(network, image, config, label_scheme(config.labels))
    plain = segment_prepared(network, image, run_config(), label_scheme(config.labels))
    assert found.shape == (20, 18, 17)
    assert (found == plain).mean() > 0.9


def test_results_go_back_by_the_nearest_slice():
    """Slices of 5 mm from a plan of 2.5 mm: each takes what the network says about one of its own slices."""
    preprocessing = {"spacing": (1.0, 1.0, 5.0), "resampling": "nnunet"}
    made, image = model(0, preprocessing=preprocessing, **LOGITS), volume(geometry((16, 16, 24), (1.0, 1.0, 2.5)))
    found = Predictor(made, LABELS).predict(image).labels.array
    assert isinstance(Predictor(made, LABELS).predict(image).labels, LabelMap)
    assert np.array_equal(found[..., 0::2], found[..., 1::2])
    linear = model(0, preprocessing=preprocessing | {"resampling": "medseg"}, **LOGITS)
    other = Predictor(linear, LABELS).predict(image).labels.array
    assert not np.array_equal(other[..., 0::2], other[..., 1::2])
