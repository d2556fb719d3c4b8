from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import ball, bundle
from torch import nn

from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.inference.air import left_out, windows_around
from medseg.inference.bundle import Bundle
from medseg.inference.predictor import Predictor, segment_prepared
from medseg.inference.settings import PredictionSettings
from medseg.inference.windows import Window, WindowGrid
from medseg.transforms.body import AIR_HU, Body, find_body
from medseg.transforms.preprocess import prepare_image

CT = [{"name": "CT", "intensity": "ct", "clip": (-200, 300), "mean": 0, "std": 100}]
SKIP = PredictionSettings(device="cpu", precision="fp32", runtime="torch", skip_air=True)
LOOK = PredictionSettings(device="cpu", precision="fp32", runtime="torch", skip_air=False)


class Threshold(nn.Module):
    """Finds tissue by its intensity, smoothed a little; of windows of air it says background."""

    def __init__(self, outputs=3):
        super().__init__()
        self.pool = nn.Sequential(nn.ReplicationPad3d(1), nn.AvgPool3d(3, 1))
        self.centres = torch.linspace(-2, 1, outputs)
        self.windows = 0

    def forward(self, image):
        self.windows += len(image)
        return -8 * (self.pool(image) - self.centres.reshape(1, -1, 1, 1, 1)) ** 2


def patient(shape=(72, 80, 56), centre=(34, 50, 28), radius=16) -> Volume:
    """A ball of soft tissue with a kernel of bone, off the middle of noisy air."""
    image = np.full(shape, -1000.0)
    image[ball(shape, centre, radius)] = 40
    image[ball(shape, centre, radius / 2)] = 110
    image += np.random.default_rng(0).normal(0, 15, shape)
    return Volume(image[None].astype(np.float32), Geometry.from_spacing(shape), ("CT",))


def model(network=None, **changes):
    return bundle(network or Threshold(), channels=CT, **changes)


def body_in(box, shape=(100, 90, 80)) -> Body:
    image = np.full(shape, -1000.0)
    image[box] = 40
    return find_body([image], [AIR_HU])


def test_a_body_that_fills_the_image_needs_all_windows():
    body = body_in((slice(0, 100), slice(0, 90), slice(0, 80)))
    grid = windows_around(body, Window((32, 32, 32)))
    assert grid.positions == WindowGrid((100, 90, 80), Window((32, 32, 32))).positions
    assert grid.region == (slice(0, 100), slice(0, 90), slice(0, 80))
    assert not grid.air


def test_an_image_of_air_is_looked_at_as_a_whole():
    grid = windows_around(body_in((slice(0, 0), slice(0, 0), slice(0, 0))), Window((32, 32, 32)))
    assert grid == WindowGrid((100, 90, 80), Window((32, 32, 32)))


@pytest.mark.parametrize("roi", [(32, 32, 32), (16, 24, 40), (16, 16, 1), (128, 32, 32)])
@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(
    "box", [(slice(40, 64), slice(0, 20), slice(48, 80)), (slice(0, 9), slice(60, 88), slice(8, 9))]
)
def test_windows_lie_where_they_lie_over_the_whole_image(roi, overlap, box):
    window = Window(roi, overlap)
    grid, whole = windows_around(body_in(box), window), WindowGrid((100, 90, 80), window)
    moved = {tuple(s + o for s, o in zip(start, grid.origin, strict=True)) for start in grid.positions}
    assert moved <= set(whole.positions)
    assert all(0 <= part.start < part.stop <= n for part, n in zip(grid.region, (100, 90, 80), strict=True))
    assert grid.air < set(grid.positions)
    if max(roi) < 80:
        assert len(grid.positions) - len(grid.air) < len(whole.positions)


@pytest.mark.parametrize("roi", [(32, 32, 32), (16, 24, 40), (16, 16, 1)])
def test_what_is_left_out_has_hardly_a_say_about_the_body(roi):
    """Counted without the importance of ``WindowGrid``: a Gaussian, sigma an eighth of a window (nnU-Net)."""
    box, shape = (slice(40, 64), slice(16, 40), slice(48, 72)), (100, 90, 80)
    window = Window(roi)
    grid, whole = windows_around(body_in(box), window), WindowGrid(shape, window)
    along = [np.exp(-0.5 * ((np.arange(n) - n // 2) / (n / 8)) ** 2) for n in roi]
    weights = along[0][:, None, None] * along[1][:, None] * along[2]
    asked, total = np.zeros(shape), np.zeros(shape)
    kept = {tuple(s + o for s, o in zip(start, grid.origin, strict=True)) for start in set(grid.positions) - grid.air}
    for start in whole.positions:
        part = tuple(slice(s, s + n) for s, n in zip(start, roi, strict=True))
        total[part] += weights
        asked[part] += weights * (start in kept)
    assert (asked / total)[box].min() > 0.9


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 1.5), (0.8, 0.8, 0.8)])
def test_labels_are_those_of_the_whole_image_and_fewer_windows_are_looked_at(spacing, average):
    changes = {"preprocessing": {"spacing": spacing}, "inference": {"average": average}}
    whole, less = (model(**changes) for _ in range(2))
    expected = Predictor(whole, LOOK).predict(patient()).labels.array
    predicted = Predictor(less, SKIP).predict(patient()).labels.array
    assert set(np.unique(expected)) == {0, 1, 2}
    assert np.mean(predicted == expected) > 0.9999
    assert less.members[0].network.windows < whole.members[0].network.windows


def test_maps_are_those_of_the_whole_image_too():
    settings = {"device": "cpu", "precision": "fp32", "probabilities": True, "entropy": True}
    found = [
        Predictor(model(preprocessing={"spacing": (1.2, 1.2, 1.2)}), PredictionSettings(**settings, skip_air=skip))
        for skip in (False, True)
    ]
    whole, less = (predictor.predict(patient()) for predictor in found)
    inside = ball(patient().geometry.shape, (34, 50, 28), 18)
    assert np.abs(whole.probabilities.astype(np.float32) - less.probabilities)[:, inside].max() < 0.05
    assert np.abs(whole.entropy - less.entropy)[inside].max() < 0.1


def test_the_bundle_decides_where_the_settings_do_not():
    seen = []
    for planned, wanted in ((False, None), (True, None), (True, False), (False, True)):
        one = model(inference={"skip_air": planned})
        Predictor(one, PredictionSettings(device="cpu", skip_air=wanted)).predict(patient())
        seen.append(one.members[0].network.windows)
    assert seen[0] == seen[2] > seen[1] == seen[3]


def test_members_with_grids_of_their_own_skip_each_on_its_own():
    fine, coarse = model(), model(preprocessing={"spacing": (2, 2, 2)})
    both = Bundle((*fine.members, *coarse.members), fine.scheme, fine.facts)
    expected = Predictor(both, LOOK).predict(patient()).labels.array
    assert np.mean(Predictor(both, SKIP).predict(patient()).labels.array == expected) > 0.9999


def test_where_targets_overlap_air_holds_none():
    labels = {"structures": [{"name": "a", "value": 1}, {"name": "b", "value": 2}], "overlapping": True}

    class Dense(nn.Module):
        def forward(self, image):
            return torch.cat([5 * image, 5 * (image - 0.7)], dim=1)

    both = [model(Dense(), labels=labels) for _ in range(2)]
    whole, less = (Predictor(one, s).predict(patient()).labels for one, s in zip(both, (LOOK, SKIP), strict=True))
    assert whole.array.any(axis=(1, 2, 3)).all()
    assert np.mean(whole.array == less.array) > 0.9999


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_a_network_that_sees_structures_in_air_is_asked_about_all_of_it(average):
    class Always(nn.Module):
        def forward(self, image):
            return torch.cat([image * 0, image * 0 + 1], dim=1)

    everywhere = model(Always(), structures=("one",), inference={"average": average})
    assert Predictor(everywhere, SKIP).predict(patient()).labels.array.all()


def test_a_window_that_is_left_out_is_one_of_the_whole_image():
    window = Window((32, 32, 32))
    whole = WindowGrid((100, 90, 80), window)
    grid = windows_around(body_in((slice(40, 64), slice(0, 20), slice(48, 80))), window)
    start = left_out(grid, whole)
    assert start in whole.positions
    assert tuple(s - o for s, o in zip(start, grid.origin, strict=True)) not in set(grid.positions) - grid.air
    assert left_out(whole, whole) is None


def test_validation_while_training_skips_what_the_plan_skips():
    looked_at, found = [], []
    for skip in (False, True):
        one = model(inference={"skip_air": skip})
        network = one.members[0].network
        image = prepare_image(patient(), one.config.preprocessing, one.config.channels).image
        found.append(segment_prepared(network, image, one.config, one.scheme))
        looked_at.append(network.windows)
    assert np.mean(found[0] == found[1]) > 0.9999
    assert looked_at[1] < 0.8 * looked_at[0]
