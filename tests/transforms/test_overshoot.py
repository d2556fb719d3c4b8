"""Splines clipped to the range of what they pass through, as scikit-image clips them."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import resize

from medseg.transforms.overshoot import keep_range
from medseg.transforms.resample import resample_channel


def steps(shape=(6, 20, 18)):
    return np.random.default_rng(0).choice([0.0, 1.0], shape).astype(np.float32)


def test_a_volume():
    source, after = steps(), (9, 31, 12)
    found = resample_channel(source, after)
    assert found.max() > 1.05
    keep_range(found, source)
    wanted = resize(source.astype(np.float64), after, 3, mode="edge", anti_aliasing=False)
    assert np.abs(found - wanted).max() < 1e-5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_slice(axis):
    source = np.moveaxis(steps() * np.arange(1, 7, dtype=np.float32)[:, None, None], 0, axis)
    after = [31, 27, 25]
    after[axis] = 4
    found = resample_channel(source, tuple(after), nearest_axis=axis)
    keep_range(found, source, axis)
    plane = [n for other, n in enumerate(after) if other != axis]
    slices = np.moveaxis(source, axis, 0).astype(np.float64)
    taken = [0, 2, 3, 5]  # (n + 0.5) * 6 / 4 - 0.5 is 0.25, 1.75, 3.25, 4.75
    wanted = [resize(slices[n], plane, 3, mode="edge", anti_aliasing=False) for n in taken]
    assert np.abs(found - np.moveaxis(np.stack(wanted), 0, axis)).max() < 1e-4
