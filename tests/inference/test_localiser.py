"""Where a localiser sends the main network, and what comes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import ALL_ORIENTATIONS, geometry
from hypothesis import given
from hypothesis import strategies as st
from localised import COARSE_MM, Bright, ball_in, localised, section, single_stage
from notes import Notes

from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import Volume
from medseg.inference.ensemble import ensemble
from medseg.inference.localiser import NO_MILLIMETRES, NOTHING_FOUND, Localiser, plausible_box, widened
from medseg.inference.predictor import Predictor
from medseg.inference.region import embedded, in_region
from medseg.inference.settings import PredictionSettings
from medseg.postprocess.extent import extent

CPU = PredictionSettings(device="cpu", precision="fp32", runtime="torch")
MAPS = replace(CPU, probabilities=True, entropy=True)
GRID = Geometry.from_spacing((64, 56, 48))
IMAGE = ball_in(GRID, (40, 20, 30))
MARGIN_MM = 6.0


def region(model, volume):
    return Localiser(model, CPU, torch.device("cpu"), None).region(volume)


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::5])
def test_the_region_is_what_was_found_and_the_margin(codes):
    grid = geometry((64, 56, 48), (1.0, 1.2, 1.5), codes, oblique_degrees=10)
    image = ball_in(grid, (24, 20, 26))
    found, true = region(localised(), image), extent(image.array[0] > 0)
    for part, mask, size in zip(found, true, grid.spacing, strict=True):
        before, behind = (mask.start - part.start) * size, (part.stop - mask.stop) * size
        assert min(before, behind) >= MARGIN_MM - COARSE_MM
        assert max(before, behind) <= MARGIN_MM + COARSE_MM + size


def test_the_region_is_a_window_at_least():
    wide = {"patch": (48, 48, 32), "batch": 1}
    found = region(localised(sampling=wide), IMAGE)
    assert [part.stop - part.start for part in found] == [48, 48, 32]
    corner = region(localised(sampling=wide), ball_in(GRID, (4, 4, 4), 4))
    assert [(part.start, part.stop) for part in corner] == [(0, 48), (0, 48), (0, 32)]


EDGES = st.tuples(*[st.integers(1, 90)] * 3)
MM = st.floats(0.3, 9)


@given(EDGES, EDGES, st.tuples(MM, MM, MM), st.floats(0, 60), st.floats(0, 80), st.data())
def test_a_widened_box_holds_the_box_and_the_margin_and_little_more(coarse, fine, spacing, margin, least, data):
    box = []
    for length in coarse:
        start = data.draw(st.integers(0, length - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, length))))
    parts = widened(tuple(box), coarse, Geometry.from_spacing(fine, spacing), margin, (least,) * 3)
    for part, here, n, m, size in zip(parts, box, coarse, fine, spacing, strict=True):
        extent_mm = m * size
        low, high = (edge / n * extent_mm for edge in (here.start, here.stop))
        wanted = max(0.0, low - margin), min(extent_mm, high + margin)
        assert 0 <= part.start < part.stop <= m
        assert part.start * size <= wanted[0] + 1e-4 * size
        assert part.stop * size >= wanted[1] - 1e-4 * size
        needed = max(wanted[1] - wanted[0], min(least, extent_mm))
        assert needed - 1e-4 * size <= (part.stop - part.start) * size <= needed + 2 * size


def test_parts_that_are_too_small_do_not_count():
    marked = np.zeros((20, 20, 20), bool)
    marked[2:6, 2:6, 2:6] = True
    marked[10:12, 10:12, 10:12] = True
    marked[12, 12, 12] = True  # by a corner
    marked[18, 18, 18] = True
    grid = Geometry.from_spacing(marked.shape, (5.0, 5.0, 5.0))  # 0.125 mL a voxel
    assert plausible_box(marked, grid, 0.0) == (slice(2, 19),) * 3
    assert plausible_box(marked, grid, 8.5 * 0.125) == (slice(2, 13),) * 3
    assert plausible_box(marked, grid, 9.5 * 0.125) == (slice(2, 6),) * 3
    assert plausible_box(marked, grid, 64.5 * 0.125) is None
    assert plausible_box(np.zeros((4, 4, 4), bool), grid, 0.0) is None


@pytest.mark.parametrize(
    "preprocessing", [{}, {"spacing": (1.4, 1.1, 1.7)}, {"orientation": "SPL"}, {"crop": "nonzero"}]
)
@pytest.mark.parametrize("codes", ["RAS", "LIP"])
def test_within_its_region_a_cascade_says_what_its_main_network_says_of_that_part(preprocessing, codes):
    image = ball_in(geometry((64, 56, 48), (1.0, 1.2, 1.5), codes), (24, 20, 26))
    model = localised(preprocessing=preprocessing)
    box = region(model, image)
    part = Predictor(single_stage(model), MAPS).predict(in_region(image, box))
    expected, found = embedded(part, box, image.geometry), Predictor(model, MAPS).predict(image)
    assert found.notes == ()
    assert found.labels.geometry.is_close(image.geometry)
    assert np.array_equal(found.labels.array, expected.labels.array)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert np.array_equal(found.entropy, expected.entropy)
    outside = np.ones(image.geometry.shape, bool)
    outside[box] = False
    assert outside.any()
    assert not found.labels.array[outside].any()


def test_what_lies_in_another_place_is_background():
    both = IMAGE.array + ball_in(GRID, (10, 45, 10), 3).array
    strict = localised(Bright(exclusive=True), localiser=section(least_ml=0.5))
    found = Predictor(strict, CPU).predict(Volume(both, GRID)).labels.array
    assert np.array_equal(found > 0, IMAGE.array[0] > 0)
    alone = Predictor(single_stage(strict), CPU).predict(Volume(both, GRID)).labels.array
    assert np.array_equal(alone > 0, both[0] > 0)


@pytest.mark.parametrize("least_ml", [0.0, 1000.0])
def test_where_nothing_plausible_is_found_the_whole_image_is_looked_at(least_ml):
    image = IMAGE if least_ml else Volume(0.2 * IMAGE.array, GRID)
    model = localised(localiser=section(least_ml=least_ml))
    found, alone = Predictor(model, MAPS).predict(image), Predictor(single_stage(model), MAPS).predict(image)
    assert found.notes == (NOTHING_FOUND,)
    assert alone.notes == ()
    assert np.array_equal(found.labels.array, alone.labels.array)
    assert np.array_equal(found.probabilities, alone.probabilities)


def test_an_image_in_pixels_is_looked_at_whole():
    flat = Geometry.from_spacing((40, 30, 1), unit=LengthUnit.PIXEL)
    found = Predictor(localised(), CPU).predict(ball_in(flat, (20, 15, 0)))
    assert found.notes == (NO_MILLIMETRES,)


def test_a_cascade_looks_at_fewer_windows():
    network, image = Bright(exclusive=True), Volume(0.2 + 0.8 * IMAGE.array, GRID)
    model = localised(network)
    Predictor(single_stage(model), CPU).predict(image)
    whole = len(network.shapes)
    network.shapes.clear()
    told = Notes()
    Predictor(model, CPU).predict(image, told)
    coarse = model.localiser.network.shapes
    assert told.stages == ["finding the region", "predict"]
    assert len(network.shapes) + len(coarse) < whole / 2
    assert {shape[2:] for shape in coarse} == {(8, 8, 8)}


def test_members_of_different_plans_look_at_one_region():
    model = localised(localiser=section(margin_mm=9.0))
    other = single_stage(localised(dims=2, sampling={"patch": (16, 16, 1)}, preprocessing={"spacing": (2.0, 2.0, 2.0)}))
    both = ensemble([model, other])
    image = Volume(0.2 + 0.8 * IMAGE.array, GRID)  # no air
    box = region(model, image)
    assert region(both, image) == box
    found = Predictor(both, MAPS).predict(image)
    inside = np.zeros(GRID.shape, bool)
    inside[box] = True
    assert found.probabilities[0][inside].all()
    assert not found.probabilities[0][~inside].any()


def test_the_image_is_normalised_as_a_whole():
    channels = [{"name": "image", "intensity": "zscore"}]
    bright = np.zeros((1, *GRID.shape), np.float32)
    bright[0, :, :, :10] = 3.0
    image = Volume(IMAGE.array + bright, GRID)

    class Seen(Bright):
        def forward(self, image):
            self.values = image[0, 0]
            return super().forward(image)

    network = Seen(exclusive=True)
    model = localised(network, channels=channels, localiser=section(least_ml=0.1))
    Predictor(model, CPU).predict(image)
    expected = (image.array - image.array.mean()) / image.array.std()
    seen = network.values[network.values != 0].unique()
    wanted = np.unique(expected)
    assert np.isclose(seen.numpy()[:, None], wanted[None], atol=1e-4).any(axis=1).all()
