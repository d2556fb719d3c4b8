from __future__ import annotations

import numpy as np
import pytest
from factories import geometry

from medseg.phantom.stand_in import body_frames, body_volume


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_a_body_fills_any_grid(codes):
    grid = geometry((40, 48, 30), (3.0, 2.0, 5.0), codes)
    image = body_volume(grid, ("CT",))
    assert image.geometry is grid
    assert image.array.dtype == np.int16
    upright = image.reoriented("LPS").array[0]
    middle = upright[upright.shape[0] // 2 - 2 : upright.shape[0] // 2 + 2, upright.shape[1] // 2 - 2 :][:, :4]
    assert upright[0].mean() < -900  # air beside the body
    assert middle.mean() > -200
    assert 0.2 < (upright > -500).mean() < 0.8


def test_channels_differ_by_their_noise_and_seeds_by_their_body():
    grid = geometry((20, 18, 16))
    image = body_volume(grid, ("a", "b"))
    assert image.channels == ("a", "b")
    inside = image.array[0] > -500
    difference = (image.array[0].astype(float) - image.array[1])[inside]
    assert 0.8 * 18 * 2**0.5 < difference.std() < 1.2 * 18 * 2**0.5
    assert np.array_equal(image.array, body_volume(grid, ("a", "b")).array)
    assert not np.array_equal(image.array, body_volume(grid, ("a", "b"), seed=1).array)


@pytest.mark.parametrize(("channels", "shape"), [(1, (30, 50)), (3, (30, 50, 3)), (4, (30, 50, 4))])
def test_frames_are_bytes_that_change_from_one_to_the_next(channels, shape):
    frames = list(body_frames(5, (30, 50), channels))
    assert [frame.shape for frame in frames] == [shape] * 5
    assert all(frame.dtype == np.uint8 for frame in frames)
    assert all(frame.std() > 10 for frame in frames)
    assert not np.array_equal(frames[1], frames[2])
