import numpy as np
import pytest
from scipy import ndimage

from medseg.postprocess.components import keep_largest


@pytest.mark.parametrize("seed", range(5))
def test_largest_component_is_that_of_scipy(seed):
    mask = np.random.default_rng(seed).random((9, 11, 7)) < 0.12
    components, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(mask, components, range(1, count + 1))
    assert keep_largest(mask).sum() == sizes.max()
    assert not (keep_largest(mask) & ~mask).any()


def test_voxels_that_share_a_corner_belong_together():
    mask = np.zeros((6, 6, 6), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[4, 4, 4] = True
    assert np.argwhere(keep_largest(mask)).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_first_of_two_equal_components_is_kept():
    mask = np.array([[1, 0, 1]], bool)
    assert keep_largest(mask).tolist() == [[True, False, False]]


def test_empty_mask_stays_empty():
    assert not keep_largest(np.zeros((3, 4, 5), bool)).any()


def test_mask_is_not_changed():
    mask = np.array([1, 0, 1, 1], bool)
    assert keep_largest(mask).tolist() == [False, False, True, True]
    assert mask.tolist() == [True, False, True, True]
