"""Normalisations that only nnU-Net's models ask for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medseg.config.sections import ChannelSection, Intensity, PreprocessingSection
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.transforms.normalize import normalize
from medseg.transforms.preprocess import prepare_image


def noise(shape=(8, 9, 10), seed=0):
    return np.random.default_rng(seed).normal(50, 20, shape).astype(np.float32)


def test_as_they_are():
    values = noise()
    assert np.array_equal(normalize(values, ChannelSection(name="a", intensity=Intensity.NONE)), values)


def test_from_smallest_to_largest():
    found = normalize(noise(), ChannelSection(name="a", intensity=Intensity.RESCALE))
    assert (found.min(), found.max()) == (0, 1)
    assert np.allclose(found, (noise() - noise().min()) / np.ptp(noise()), atol=1e-6)
    assert not normalize(np.full((2, 2, 2), 7), ChannelSection(name="a", intensity=Intensity.RESCALE)).any()


def test_inside_a_mask():
    values, inside = noise(), np.zeros((8, 9, 10), np.bool_)
    inside[2:6, 3:7, 2:8] = True
    found = normalize(values, ChannelSection(name="a", nonzero_only=True), inside)
    part = values[inside].astype(np.float64)
    assert np.allclose(found[inside], (part - part.mean()) / part.std(), atol=1e-5)
    assert np.array_equal(found[~inside], values[~inside])
    assert np.array_equal(normalize(values, ChannelSection(name="a"), np.zeros_like(inside)), values)


@pytest.mark.parametrize("crop", ["nonzero", "none"])
def test_the_mask_is_what_is_not_zero_in_some_channel_and_its_holes(crop):
    array = np.zeros((2, 14, 13, 12), np.float32)
    array[0, 2:9, 2:10, 3:9] = noise((7, 8, 6))
    array[1, 4:12, 2:10, 3:9] = noise((8, 8, 6), 1)
    array[:, 5:8, 4:7, 5:7] = 0  # a hole
    array[:, 2:4, 2:4, 3] = 0  # open to the outside
    volume = Volume(array, Geometry.from_spacing((14, 13, 12)), ("a", "b"))
    channels = (ChannelSection(name="a", nonzero_only=True), ChannelSection(name="b"))
    found = prepare_image(volume, PreprocessingSection(crop=crop), channels)
    inside = ndimage.binary_fill_holes((array != 0).any(axis=0))
    part = array[0][inside].astype(np.float64)
    wanted = array[0].astype(np.float64)
    wanted[inside] = (part - part.mean()) / part.std()
    assert np.allclose(found.image[0], wanted[found.restoration.box], atol=1e-5)
    assert abs(found.image[1].mean()) < 1e-5
