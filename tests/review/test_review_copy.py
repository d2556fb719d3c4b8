"""Copies of fewer voxels, against one block after another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medseg.core.geometry import Geometry, LengthUnit
from medseg.review.review_copy import (
    WHOLE,
    block_labels,
    block_means,
    copy_factor,
    copy_grid,
    copy_notice,
    put_blocks,
    slabs,
)

FACTORS = st.tuples(*[st.integers(1, 3)] * 3)
SHAPES = arrays.array_shapes(min_dims=3, max_dims=3, max_side=7)


def blocks(array, factor):
    """Each block with its place in the copy."""
    for place in np.ndindex(*(-(-n // step) for n, step in zip(array.shape, factor, strict=True))):
        yield place, array[tuple(slice(at * f, at * f + f) for at, f in zip(place, factor, strict=True))]


@pytest.mark.parametrize(
    ("shape", "spacing", "factor"),
    [
        ((512, 512, 600), (0.8, 0.8, 1.0), (2, 2, 1)),
        ((600, 512, 512), (1.0, 0.8, 0.8), (1, 2, 2)),
        ((512, 512, 572), (0.8, 0.8, 1.0), WHOLE),
        ((1024, 1024, 2000), (0.4, 0.4, 0.4), (3, 3, 2)),
        ((5000, 4000, 1), (1.0, 1.0, 1.0), (3, 3, 1)),
        ((300, 300, 3000), (1.0, 1.0, 1.0), (1, 1, 2)),
        ((1, 2049, 3), (1.0, 1.0, 1.0), (1, 2, 2)),
        ((1, 1, 1), (1.0, 1.0, 1.0), WHOLE),
    ],
)
def test_a_copy_is_as_fine_as_the_browser_takes_it(shape, spacing, factor):
    assert copy_factor(Geometry.from_spacing(shape, spacing), 150_000_000) == factor


@given(arrays.array_shapes(min_dims=3, max_dims=3, max_side=40), st.integers(1, 300), st.integers(1, 30))
def test_a_copy_always_fits(shape, most_voxels, most_a_side):
    grid = Geometry.from_spacing(shape, (0.7, 0.7, 1.3))
    reduced = copy_grid(grid, copy_factor(grid, most_voxels, most_a_side)).shape
    assert np.prod(reduced) <= most_voxels
    assert max(reduced) <= most_a_side


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::7])
def test_a_voxel_of_the_copy_lies_in_the_middle_of_its_block(codes):
    grid = geometry((6, 6, 6), codes=codes, oblique_degrees=20)
    copy = copy_grid(grid, (2, 3, 1))
    assert copy.shape == (3, 2, 6)
    middle = np.mean([grid.affine @ (2 + i, 3 + j, 5, 1) for i in range(2) for j in range(3)], axis=0)
    assert np.allclose(copy.affine @ (1, 1, 5, 1), middle)
    assert copy.axis_codes == grid.axis_codes
    assert copy_grid(grid, WHOLE).is_close(grid)


def test_the_notice_says_both_sizes_and_what_an_edit_does():
    grid = Geometry.from_spacing((8, 8, 8), (0.8, 0.8, 1.0))
    assert copy_notice(grid, WHOLE) == ""
    notice = copy_notice(grid, (2, 2, 1))
    assert notice.startswith("shown at 1.6 mm; edits are made at 0.8 mm: ")
    assert "blocks of 2 x 2 x 1 voxels" in notice
    assert "1.6 x 1.6 x 2 mm; edits are made at 0.8 x 0.8 x 1 mm" in copy_notice(grid, (2, 2, 2))
    picture = Geometry.from_spacing((8, 8, 1), unit=LengthUnit.PIXEL)
    assert copy_notice(picture, (2, 2, 1)).startswith("shown at 2 pixels; edits are made at 1 pixels")


@given(arrays.arrays(np.int16, SHAPES), FACTORS)
def test_means_of_blocks(array, factor):
    copy = block_means(array, factor)
    assert copy.dtype == array.dtype
    for place, block in blocks(array, factor):
        assert abs(float(copy[place]) - block.mean()) <= 0.501


def test_means_keep_fractions_and_large_numbers():
    assert block_means(np.array([[[1.0]], [[2.0]]], np.float32), (2, 1, 1)).item() == 1.5
    assert block_means(np.array([[[2**31 - 3]], [[2**31 - 1]]], np.int32), (2, 1, 1)).item() == 2**31 - 2


@given(arrays.arrays(np.uint8, SHAPES, elements=st.integers(0, 1)), FACTORS)
def test_a_structure_alone_is_shown_within_one_block_of_each_of_its_voxels(array, factor):
    copy = block_labels(array, factor)
    reach = [step > 1 for step in factor]
    for place, block in blocks(array, factor):
        around = tuple(slice(max(0, at - by), at + by + 1) for at, by in zip(place, reach, strict=True))
        assert copy[around].any() or not block.any()
        if block.mean() >= 0.5 and all(n == step for n, step in zip(block.shape, factor, strict=True)):
            assert copy[place] == 1


@given(arrays.arrays(np.uint8, SHAPES, elements=st.integers(0, 3)), FACTORS)
def test_a_block_shows_a_label_of_its_own_and_none_is_lost_that_is_alone(array, factor):
    copy = block_labels(array, factor)
    for place, block in blocks(array, factor):
        assert copy[place] in block
        if np.ptp(block) == 0:
            assert copy[place] == block.flat[0]


def test_the_majority_wins_foreground_first():
    plane = np.array([[1, 0, 2, 2], [1, 0, 2, 0], [0, 3, 3, 3], [0, 3, 3, 0]], np.uint8)[..., np.newaxis]
    assert block_labels(plane, (2, 2, 1))[..., 0].tolist() == [[1, 2], [3, 3]]


def test_what_is_thinner_than_a_block_stays():
    array = np.zeros((16, 16, 4), np.uint8)
    array[:, :, :] = 1  # an organ,
    array[5, 5, 2] = 2  # a spot in it,
    array[np.arange(16), np.arange(16), 0] = 3  # and a line across
    copy = block_labels(array, (2, 2, 1))
    assert copy[2, 2, 2] == 2
    assert (copy == 2).sum() == 1
    assert (copy[np.arange(8), np.arange(8), 0] == 3).all()


@given(arrays.arrays(np.uint16, SHAPES), FACTORS, st.randoms(use_true_random=False))
def test_blocks_of_changed_voxels_change_and_no_others(array, factor, random):
    shape = [-(-n // step) for n, step in zip(array.shape, factor, strict=True)]
    rng = np.random.default_rng(random.randrange(2**32))
    changed, values = rng.random(shape) < 0.3, rng.integers(0, 2**16, shape).astype(np.uint16)
    before = array.copy()
    put_blocks(array, changed, values, factor)
    for place, block in blocks(array, factor):
        old = before[tuple(slice(at * f, at * f + f) for at, f in zip(place, factor, strict=True))]
        assert np.array_equal(block, np.full_like(block, values[place]) if changed[place] else old)


@given(SHAPES, FACTORS, st.integers(1, 4), st.integers(1, 300))
def test_slabs_cover_the_grid_once_and_cut_no_block(shape, factor, size, most):
    found = list(slabs(shape, factor, size, most))
    counts = np.zeros(shape, int)
    for box in found:
        counts[box] += 1
        assert box[2].start % factor[2] == 0
        one_layer = shape[0] * shape[1] * factor[2] * size
        assert (box[2].stop - box[2].start) * shape[0] * shape[1] * size <= max(most, one_layer)
    assert (counts == 1).all()


def test_the_order_in_memory_does_not_matter():
    array = np.random.default_rng(0).integers(0, 4, (9, 8, 7)).astype(np.uint8)
    for reduce, order in itertools.product((block_labels, block_means), "CF"):
        assert np.array_equal(reduce(np.array(array, order=order), (2, 2, 1)), reduce(array, (2, 2, 1)))
