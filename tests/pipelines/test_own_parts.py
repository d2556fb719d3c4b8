"""A network, a loss and callbacks of one's own, in the same functions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ball_cases import CASES, small_config, write_balls
from torch import nn

import medseg
from medseg.config.networks import OwnNetworkSection
from medseg.core.errors import BundleError, ConfigError


class Small(nn.Module):
    """Three classes from one channel; remembers nothing."""

    def __init__(self, width=8, outputs=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, width, 3, padding=1), nn.ReLU(), nn.Conv3d(width, outputs, 1))

    def forward(self, image):
        return self.layers(image)


class Deep(Small):
    """Gives two levels while training, each of two voxels' steps."""

    factors = (2, 2, 2)
    deep_supervision = True

    def forward(self, image):
        logits = super().forward(image)
        return [logits, nn.functional.avg_pool3d(logits, 2)] if self.training else logits


class Counting(nn.Module):
    """Cross-entropy that counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, logits, target):
        self.calls += 1
        return nn.functional.cross_entropy(logits, target.long(), ignore_index=255)


class Watching(medseg.Callback):
    def __init__(self):
        self.epochs, self.ends = [], []

    def on_epoch(self, report):
        self.epochs.append(report.epoch)

    def on_end(self, report):
        self.ends.append(report.bottleneck)


@pytest.fixture
def cases(tmp_path) -> Path:
    return write_balls(tmp_path / "cases", CASES[:4])


def test_a_run_with_parts_of_ones_own_leaves_a_bundle_that_says_so(cases, tmp_path):
    network, loss, callback = Small(), Counting(), Watching()
    before = network.layers[0].weight.clone()
    parts = medseg.OwnParts(network, loss, (callback,))
    result = medseg.train(small_config(cases), tmp_path / "run", parts=parts)
    assert loss.calls == 6
    assert callback.epochs == [1, 2]
    assert "bottleneck" in callback.ends[0]
    assert torch.equal(network.layers[0].weight, before)

    with pytest.raises(BundleError, match=r"its network is one's own, .* medseg.read_bundle\(folder, network=...\)"):
        medseg.read_bundle(result.bundle)
    bundle = medseg.read_bundle(result.bundle, network=Small())
    assert bundle.config.network == OwnNetworkSection(dims=3, factors=(2, 2, 2))
    learned = bundle.members[0].network.layers[0].weight
    assert not torch.equal(learned, before)
    image = medseg.read_volume(cases / "images" / "c0.nii.gz")
    predicted = medseg.Predictor(bundle).predict(image).labels
    assert predicted.array.shape == (16, 16, 16)
    with pytest.raises(BundleError, match="weights belong to another network"):
        medseg.read_bundle(result.bundle, network=Small(width=4))


def test_an_own_network_learns(cases, tmp_path):
    result = medseg.train(
        small_config(cases, epochs=8, steps=15, training={"optimizer": {"lr": 0.03}}), tmp_path / "run",
        parts=medseg.OwnParts(Small()),
    )  # fmt: skip
    assert min(row["dice"] for row in result.rows()) > 0.9


class Stopping(medseg.Callback):
    def on_epoch(self, report):
        if report.epoch == 2:
            raise KeyboardInterrupt


def test_a_run_with_an_own_network_goes_on_bit_by_bit(cases, tmp_path):
    network, four = Small(), {"epochs": 4, "steps": 3}
    whole = medseg.train(small_config(cases, **four), tmp_path / "whole", parts=medseg.OwnParts(network))
    with pytest.raises(KeyboardInterrupt):
        medseg.train(small_config(cases, **four), tmp_path / "cut", parts=medseg.OwnParts(network, None, (Stopping(),)))
    # How it is computed may change, and the weights that it begins with do not matter any more.
    changed = small_config(cases, **four, training={"workers": 1})
    again = medseg.train(changed, tmp_path / "cut", resume=True, parts=medseg.OwnParts(Small()))
    one, other = (medseg.read_bundle(run.bundle, network=Small()).members[0].network for run in (whole, again))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(
        BundleError, match=r"another network .*such as layers.0.weight: \(8, 1, 3, 3, 3\) instead of \(4"
    ):
        medseg.train(changed, tmp_path / "cut", resume=True, parts=medseg.OwnParts(Small(width=4)))


def test_a_network_that_gives_several_levels_says_so(cases, tmp_path):
    result = medseg.train(small_config(cases), tmp_path / "run", parts=medseg.OwnParts(Deep()))
    assert medseg.read_bundle(result.bundle, network=Deep()).config.network.deep_supervision


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Small(outputs=2), r"gives logits of shape \(1, 2, 12, 12, 12\) for .*; \(1, 3, 12, 12, 12\) are needed"),
        (nn.Conv2d(1, 3, 1), r"does not take an image of shape \(1, 1, 12, 12, 12\): Expected"),
        (nn.Sequential(nn.Identity(), nn.Flatten(), nn.LSTM(1728, 3)), "gives no tensor in evaluation mode"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_anything_is_written(cases, tmp_path, network, message):
    with pytest.raises(ConfigError, match=message):
        medseg.train(small_config(cases), tmp_path / "run", parts=medseg.OwnParts(network))
    assert not (tmp_path / "run").exists()


def test_an_own_network_starts_from_no_model(cases, tmp_path):
    config = small_config(cases, training={"init": {"bundle": cases}})
    with pytest.raises(ConfigError, match="load weights into a network of your own before you give it"):
        medseg.train(config, tmp_path / "run", parts=medseg.OwnParts(Small()))


def test_a_configuration_alone_builds_no_own_network(cases, tmp_path):
    tree = small_config(cases).model_dump() | {"network": {"name": "own", "dims": 3, "factors": (1, 1, 1)}}
    with pytest.raises(ConfigError, match=r"give it from Python, to medseg.train in OwnParts\(network=...\)"):
        medseg.train(medseg.RunConfig.model_validate(tree), tmp_path / "run")


def test_an_own_network_needs_a_factor_for_each_axis():
    with pytest.raises(ValueError, match="factors needs 2 numbers, one an axis"):
        OwnNetworkSection(dims=2, factors=(1, 1, 1))
