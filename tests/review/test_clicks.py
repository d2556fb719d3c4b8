"""Outlines corrected by clicks."""

from __future__ import annotations

import time

import numpy as np
import pytest
from factories import ball, geometry, scheme
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.core.errors import GeometryError, InputError, LabelError
from medseg.core.geometry import Geometry
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.review.clicks import Click, refined

GRID = Geometry.from_spacing((32, 32, 32))
ORGAN = ball(radius=9.0)
SCHEME = scheme("liver", "tumour")


def image_of(mask: np.ndarray = ORGAN, grid: Geometry = GRID, noise=10.0, channels=1) -> Volume:
    rng = np.random.default_rng(0)
    arrays = [100.0 * mask + noise * rng.standard_normal(mask.shape) for _ in range(channels)]
    return Volume(np.stack(arrays).astype(np.float32), grid, tuple(map(str, range(channels))))


def outlined(values: np.ndarray, grid: Geometry = GRID) -> Segmentation:
    return Segmentation(LabelMap(values.astype(np.uint8), grid), SCHEME)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


HALF = ORGAN & (np.indices(ORGAN.shape)[0] < 16)
LEAK = ORGAN | ball(centre=(24.0, 15.5, 15.5), radius=5.0)


def test_a_click_that_belongs_adds_what_is_missing():
    result = refined(image_of(), outlined(HALF), [Click("liver", (20, 15, 15), belongs=True)])
    found = result.segmentation.labels.array == 1
    assert dice(HALF, ORGAN) < 0.7
    assert dice(found, ORGAN) > 0.95
    assert result.voxels == int((found != HALF).sum())


def test_a_click_that_does_not_belong_takes_away_what_is_too_much():
    result = refined(image_of(), outlined(LEAK), [Click("liver", (27, 15, 15), belongs=False)])
    found = result.segmentation.labels.array == 1
    assert dice(found, ORGAN) > max(0.97, dice(LEAK, ORGAN))
    assert not (found & ~LEAK).any()


def test_the_voxel_of_the_click_is_as_the_click_says_even_in_noise():
    noise = image_of(np.zeros(ORGAN.shape), noise=1.0)
    grown = refined(noise, outlined(HALF), [Click("liver", (25, 15, 15), belongs=True)])
    assert grown.segmentation.labels.array[25, 15, 15] == 1
    shrunk = refined(noise, outlined(HALF), [Click("liver", (12, 15, 15), belongs=False)])
    assert shrunk.segmentation.labels.array[12, 15, 15] == 0


def test_nothing_changes_where_the_click_says_what_is_so_already():
    current = outlined(HALF)
    for click in (Click("liver", (12, 15, 15), belongs=True), Click("liver", (25, 15, 15), belongs=False)):
        result = refined(image_of(), current, [click])
        assert (result.segmentation, result.voxels) == (current, 0)


def test_a_structure_that_is_missing_altogether_grows_by_clicks():
    current, clicks, dices = outlined(np.zeros(ORGAN.shape)), [], [0.0]
    for at in ((15, 15, 15), (15, 15, 22), (9, 15, 15), (15, 22, 15), (22, 15, 15)):
        clicks.append(Click("liver", at, belongs=True))
        current = refined(image_of(), current, clicks).segmentation
        dices.append(dice(current.labels.array == 1, ORGAN))
    assert dices == sorted(dices)
    assert dices[1] > 0.5
    assert dices[-1] > dices[1]


def test_what_is_added_is_taken_from_others_and_what_is_taken_becomes_background():
    values = np.where(HALF, 1, 0) + np.where(ORGAN & ~HALF, 2, 0)
    grown = refined(image_of(), outlined(values), [Click("liver", (20, 15, 15), belongs=True)]).segmentation
    theirs = grown.labels.array[values == 2]
    assert set(np.unique(theirs)) <= {1, 2}
    assert (theirs == 1).mean() > 0.9
    less = refined(image_of(), outlined(values), [Click("tumour", (20, 15, 15), belongs=False)]).segmentation
    assert set(np.unique(less.labels.array[values == 2])) <= {0, 2}
    np.testing.assert_array_equal(less.labels.array == 1, values == 1)


def test_structures_that_overlap_keep_to_themselves():
    masks = MultiLabelMap(np.stack([HALF, ORGAN]), GRID, ("liver", "tumour"))
    result = refined(image_of(), Segmentation(masks, SCHEME), [Click("liver", (20, 15, 15), belongs=True)])
    assert dice(result.segmentation.labels.array[0], ORGAN) > 0.95
    np.testing.assert_array_equal(result.segmentation.labels.array[1], ORGAN)


def test_earlier_clicks_hold():
    wall = Click("liver", (22, 15, 15), belongs=False)
    theirs = Click("tumour", (21, 12, 15), belongs=True)
    values = np.where(HALF, 1, 0)
    values[21, 12, 15] = 2
    result = refined(image_of(), outlined(values), [wall, theirs, Click("liver", (19, 15, 15), belongs=True)])
    found = result.segmentation.labels.array
    assert (found[22, 15, 15], found[21, 12, 15], found[19, 15, 15]) == (0, 2, 1)


def test_values_of_two_bytes_fit_into_labels_that_were_narrow():
    wide = type(SCHEME).from_names({"liver": 1, "tumour": 700})
    current = Segmentation(LabelMap(HALF.astype(np.uint8), GRID), wide)
    found = refined(image_of(), current, [Click("tumour", (20, 15, 15), belongs=True)]).segmentation.labels.array
    assert set(np.unique(found)) == {0, 1, 700}


def test_all_channels_count():
    image = image_of(channels=2)
    flat = image.array.copy()
    flat[0] = 0
    result = refined(Volume(flat, GRID, image.channels), outlined(HALF), [Click("liver", (20, 15, 15), belongs=True)])
    assert dice(result.segmentation.labels.array == 1, ORGAN) > 0.95


@pytest.mark.parametrize("shape", [(40, 40, 1), (5, 3, 2), (1, 1, 1)])
def test_thin_and_tiny_images_do_too(shape):
    grid = Geometry.from_spacing(shape)
    image = Volume(np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32), grid)
    result = refined(image, outlined(np.zeros(shape), grid), [Click("liver", (0, 0, 0), belongs=True)])
    assert result.segmentation.labels.array[0, 0, 0] == 1


def test_values_that_are_not_finite_and_images_of_one_value_do_no_harm():
    array = image_of().array.copy()
    array[0, :3] = np.nan
    for image in (Volume(array, GRID), Volume(np.zeros((1, *GRID.shape), np.int16), GRID)):
        found = refined(image, outlined(HALF), [Click("liver", (20, 15, 15), belongs=True)]).segmentation
        assert found.labels.array[20, 15, 15] == 1


@settings(max_examples=12)
@given(st.data())
def test_only_voxels_connected_with_the_click_change_within_its_box_and_always_the_same_ones(data):
    grid = geometry((150, 12, 9), (1.0, 8.0, 15.0))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = Volume(rng.integers(0, 9, (1, *grid.shape)).astype(np.int16), grid)
    current = outlined(rng.random(grid.shape) < 0.5, grid)
    at = tuple(data.draw(st.integers(0, n - 1)) for n in grid.shape)
    click = Click("liver", at, data.draw(st.booleans()))
    one, again = (refined(image, current, [click]).segmentation.labels.array for _ in range(2))
    np.testing.assert_array_equal(one, again)
    changed = np.argwhere(one != current.labels.array)
    assert (np.abs(changed - at) <= (31, 8, 4)).all()
    assert set(one[one != current.labels.array]) <= {int(click.belongs)}


@pytest.mark.slow
def test_a_box_of_the_largest_size_takes_less_than_three_seconds():
    shape = (80, 80, 80)
    mask = ball(shape, (39.5, 39.5, 39.5), 30.0)
    image = image_of(mask, Geometry.from_spacing(shape))
    current = outlined(mask & (np.indices(shape)[0] < 40), image.geometry)
    begun = time.perf_counter()
    refined(image, current, [Click("liver", (50, 40, 40), belongs=True)])
    assert time.perf_counter() - begun < 3


def test_clicks_that_cannot_be_are_refused():
    image, current = image_of(), outlined(HALF)
    with pytest.raises(InputError, match="no click to follow"):
        refined(image, current, [])
    with pytest.raises(InputError, match=r"voxel \(32, 0, 0\) lies outside of an image of \(32, 32, 32\) voxels"):
        refined(image, current, [Click("liver", (32, 0, 0), belongs=True)])
    with pytest.raises(InputError, match="lies outside"):
        refined(image, current, [Click("liver", (0, -1, 0), belongs=True)])
    with pytest.raises(LabelError, match="no structure 'spleen'"):
        refined(image, current, [Click("spleen", (0, 0, 0), belongs=True)])
    moved = Volume(image.array, geometry((32, 32, 32)))
    with pytest.raises(GeometryError, match="do not lie on the image's grid"):
        refined(moved, current, [Click("liver", (0, 0, 0), belongs=True)])
