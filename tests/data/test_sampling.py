from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories import prepared_arrays

from medseg.core.errors import DataError
from medseg.data.cache import foreground_voxels, labelled_voxels
from medseg.data.sampling import PatchSampler, cut


def test_a_block_inside_is_a_copy():
    array = np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    block = cut(array, (1, 2, 3), (2, 2, 2))
    np.testing.assert_array_equal(block, array[:, 1:3, 2:4, 3:5])
    assert not np.shares_memory(block, array)


@pytest.mark.parametrize("start", [(-2, -1, 0), (3, 4, 5), (-1, 3, -3), (9, 9, 9)])
def test_beyond_the_array_there_are_zeros(start):
    array = np.arange(1, 1 + 4 * 5 * 6).reshape(4, 5, 6)
    padded = np.pad(array, 10)
    here = tuple(slice(10 + first, 10 + first + 4) for first in start)
    np.testing.assert_array_equal(cut(array, start, (4, 4, 4)), padded[here])


def test_a_rare_structure_of_one_case_in_fifty_is_drawn_as_often_as_a_common_one():
    common, rare = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), np.uint8)
    common[5:15, 5:15, 5:15] = 1
    rare[:] = common
    rare[3, 4, 5] = 2
    cases = [prepared_arrays(rare), *(prepared_arrays(common) for _ in range(49))]
    sampler, rng = PatchSampler(cases, (4, 4, 4), (4, 4, 4), 1.0), np.random.default_rng(0)
    hits = sum(bool((sampler.draw(rng).target == 2).any()) for _ in range(400))
    assert 150 < hits < 250


def test_the_share_of_patches_on_a_structure_is_kept():
    target = np.zeros((64, 64, 64), np.uint8)
    target[60:62, 60:62, 60:62] = 1
    sampler, rng = PatchSampler([prepared_arrays(target, 1)], (4, 4, 4), (4, 4, 4), 0.33), np.random.default_rng(0)
    hits = sum(bool(sampler.draw(rng).target.any()) for _ in range(600))
    assert 0.27 < hits / 600 < 0.39


def test_a_patch_larger_than_the_image_holds_all_of_it():
    target = np.ones((6, 5, 4), np.uint8)
    sampler, rng = PatchSampler([prepared_arrays(target, 1)], (8, 8, 8), (8, 8, 8), 0.5), np.random.default_rng(0)
    patches = [sampler.draw(rng) for _ in range(20)]
    assert {int(patch.target.sum()) for patch in patches} == {target.size}
    assert len({tuple(np.argwhere(patch.target)[0]) for patch in patches}) > 3


def test_image_and_target_are_cut_at_the_same_place():
    target = np.random.default_rng(0).integers(0, 3, (20, 20, 20)).astype(np.uint8)
    sampler, rng = (
        PatchSampler([prepared_arrays(target, image=target)], (7, 7, 7), (7, 7, 7), 0.5),
        np.random.default_rng(0),
    )
    for _ in range(20):
        patch = sampler.draw(rng)
        np.testing.assert_array_equal(patch.image[0], patch.target)


def test_cases_without_a_structure_are_drawn_from_all_the_same():
    sampler = PatchSampler([prepared_arrays(np.zeros((8, 8, 8), np.uint8))], (4, 4, 4), (4, 4, 4), 1.0)
    assert not sampler.draw(np.random.default_rng(0)).target.any()


def test_no_case_is_an_error():
    with pytest.raises(DataError, match="no case to draw patches from"):
        PatchSampler([], (4, 4, 4), (4, 4, 4), 0.5)


def test_foreground_voxels_lie_in_their_target_and_are_bounded():
    target = np.zeros((40, 40, 40), np.uint8)
    target[:, :20] = 1
    target[0, 30, 0] = 2
    one, two, three = foreground_voxels(target, 3)
    assert 8_000 <= len(one) <= 10_000
    assert (target[tuple(one.T)] == 1).all()
    assert one[:, 0].max() == 39  # spread over the whole structure, not its beginning
    assert two.tolist() == [[0, 30, 0]]
    assert three.shape == (0, 3)


def test_foreground_of_overlapping_masks_leaves_ignored_voxels_out():
    masks = np.zeros((2, 4, 4, 4), np.uint8)
    masks[0, 1, 1, 1], masks[1, 1, 1, 1], masks[1, 2, 2, 2] = 1, 1, 255
    assert [voxels.tolist() for voxels in foreground_voxels(masks, 2)] == [[[1, 1, 1]], [[1, 1, 1]]]


def test_a_structure_at_the_border_is_in_the_middle_of_the_block():
    target = np.zeros((100, 30, 30), np.uint8)
    target[3:6, 10:20, 10:20] = 1
    sampler, rng = PatchSampler([prepared_arrays(target, 1)], (20, 16, 16), (28, 24, 24), 1.0), np.random.default_rng(0)
    for _ in range(20):
        patch = sampler.draw(rng).target
        assert patch.shape == (28, 24, 24)
        assert patch[4:24, 4:20, 4:20].any()


def test_chances_decide_over_case_and_structure():
    one, both = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), np.uint8)
    one[2:4, 2:4, 2:4] = 1
    both[2:4, 2:4, 2:4], both[15:17, 15:17, 15:17] = 1, 2
    cases = [prepared_arrays(one, image=np.full((20, 20, 20), 5.0)), prepared_arrays(both)]
    chances = np.array([[0.1, 0.0], [0.2, 0.7]])
    sampler, rng = PatchSampler(cases, (4, 4, 4), (4, 4, 4), 1.0, chances), np.random.default_rng(0)
    patches = [sampler.draw(rng) for _ in range(500)]
    assert 0.63 < np.mean([(patch.target == 2).any() for patch in patches]) < 0.77
    assert 0.06 < np.mean([(patch.image == 5).any() for patch in patches]) < 0.14


class TestPartlyLabelled:
    """Only the plane k = 17 of 40 is labelled."""

    TARGET = np.full((20, 20, 40), 255, np.uint8)
    TARGET[..., 17] = 0
    TARGET[5:8, 5:8, 17] = 1

    def test_voxels_that_somebody_labelled(self):
        voxels = labelled_voxels(self.TARGET)
        assert len(voxels) == 400
        assert set(voxels[:, 2]) == {17}
        masks = np.stack([self.TARGET, np.where(self.TARGET == 255, 255, 0).astype(np.uint8)])
        assert np.array_equal(labelled_voxels(masks), voxels)
        assert labelled_voxels(np.zeros((4, 4, 4), np.uint8)) is None

    @pytest.mark.parametrize("foreground", [0.0, 0.5])
    @pytest.mark.parametrize("patch", [(6, 6, 1), (8, 8, 8)])
    def test_every_patch_holds_some_of_them(self, foreground, patch):
        case = replace(prepared_arrays(self.TARGET, 1), labelled=labelled_voxels(self.TARGET))
        sampler, rng = PatchSampler([case], patch, patch, foreground), np.random.default_rng(0)
        patches = [sampler.draw(rng).target for _ in range(100)]
        assert all((patch != 255).any() for patch in patches)
        assert len({patch.tobytes() for patch in patches}) > 15

    def test_a_case_that_nobody_labelled_is_no_trap(self):
        nothing = np.full((9, 9, 9), 255, np.uint8)
        case = replace(prepared_arrays(nothing, 1), labelled=labelled_voxels(nothing))
        patch = PatchSampler([case], (4, 4, 4), (4, 4, 4), 0.3).draw(np.random.default_rng(0))
        assert patch.target.shape == (4, 4, 4)
        assert (patch.target == 255).all()
