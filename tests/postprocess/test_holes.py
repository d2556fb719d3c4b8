import numpy as np
import pytest
from factories import ball
from scipy import ndimage

from medseg.postprocess.holes import fill_holes


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_holes_are_those_of_scipy(seed, share):
    mask = np.random.default_rng(seed).random((9, 11, 7)) < share
    assert np.array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


def test_shell_becomes_a_ball():
    shell = ball(radius=10) & ~ball(radius=7)
    assert np.array_equal(fill_holes(shell), ball(radius=10))


def test_cup_open_at_the_border_keeps_its_hollow():
    cup = np.ones((5, 5, 5), bool)
    cup[1:4, 1:4, :4] = False
    assert np.array_equal(fill_holes(cup), cup)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ring_in_a_2d_image_is_filled(axis):
    ring = np.ones((5, 6), bool)
    ring[2:4, 2:4] = False
    assert fill_holes(np.expand_dims(ring, axis)).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (4, 4, 4)])
def test_empty_and_full_masks_stay(shape):
    assert not fill_holes(np.zeros(shape, bool)).any()
    assert fill_holes(np.ones(shape, bool)).all()


def test_mask_is_not_changed():
    mask = np.array([1, 0, 1], bool)
    assert fill_holes(mask).all()
    assert mask.tolist() == [True, False, True]
