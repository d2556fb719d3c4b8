from __future__ import annotations

import numpy as np
import pytest
from factories import ball
from scipy import ndimage

from medseg.config.sections import ChannelSection
from medseg.transforms.body import AIR_HU, air_level, body_of, find_body

SHAPE = (96, 80, 64)
CENTRE = (48, 40, 32)
CT = ChannelSection(name="CT", intensity="ct", clip=(-160, 240), mean=40, std=100)


def phantom(seed=0, air=-1000.0, padding=None) -> np.ndarray:
    """A ball of fat and muscle with a lung in it, in noisy air."""
    rng = np.random.default_rng(seed)
    image = np.full(SHAPE, air)
    body = ball(SHAPE, CENTRE, 25)
    image[body], image[ball(SHAPE, CENTRE, 22)], image[ball(SHAPE, CENTRE, 12)] = -100, 50, -850
    image += rng.normal(0, 30, SHAPE)
    if padding is not None:
        image[:, :8], image[:, -8:] = padding, padding
    return image


def voxels(body) -> np.ndarray:
    """The blocks as a mask of voxels."""
    mask = body.blocks
    for axis, edge in enumerate(body.edges):
        mask = mask.repeat(edge, axis)
    return mask[tuple(slice(0, n) for n in body.shape)]


@pytest.mark.parametrize("padding", [None, -1024, -2000, -3024, np.nan])
def test_all_of_a_body_is_found_and_most_of_the_air_is_not(padding):
    body = find_body([phantom(padding=padding)], [AIR_HU])
    found, there = voxels(body), ball(SHAPE, CENTRE, 25)
    assert found[there].all()
    assert found.mean() < 0.55
    assert not found[ndimage.distance_transform_edt(~there) > 8 * 2 * 3**0.5].any()
    assert body.holds(there)
    assert not body.holds(~there)


def test_box_is_the_smallest_around_the_blocks():
    body = find_body([phantom()], [AIR_HU])
    (expected,) = ndimage.find_objects(voxels(body).astype(int))
    assert body.box == expected
    assert expected != tuple(slice(0, n) for n in SHAPE)


def test_air_inside_the_body_belongs_to_it():
    image = np.full(SHAPE, -1000.0)
    image[ball(SHAPE, CENTRE, 30) & ~ball(SHAPE, CENTRE, 26)] = 40  # a shell of skin
    assert voxels(find_body([image], [AIR_HU]))[ball(SHAPE, CENTRE, 30)].all()


def test_a_table_and_an_arm_are_kept_and_specks_are_not():
    image = phantom()
    image[:, 76:79, :] = -300  # a thin shell of carbon below the patient
    image[2, 2, ::3] = 3000
    body = find_body([image], [AIR_HU])
    assert body.reaches((slice(0, 96), slice(76, 79), slice(0, 64)))
    assert not body.reaches((slice(0, 8), slice(0, 8), slice(0, 64)))


def test_an_image_of_air_holds_no_body():
    body = find_body([np.full((20, 20, 20), -1000)], [AIR_HU])
    assert body.box is None
    assert not body.reaches((slice(0, 20), slice(0, 20), slice(0, 20)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 9, 17), (8, 8, 8), (40, 1, 7), (33, 30, 2)])
def test_images_of_any_shape_that_are_all_body(shape):
    body = find_body([np.full(shape, 40.0)], [AIR_HU])
    assert body.blocks.all()
    assert body.box == tuple(slice(0, n) for n in shape)
    assert body.blocks.shape == tuple(-(-n // edge) for n, edge in zip(shape, body.edges, strict=True))


def test_a_box_may_be_empty_or_reach_beyond_the_image():
    body = find_body([phantom()], [AIR_HU])
    assert body.reaches((slice(-50, 200), slice(-50, 200), slice(-50, 200)))
    assert not body.reaches((slice(48, 48), slice(0, 80), slice(0, 64)))
    assert not body.reaches((slice(-50, -1), slice(0, 80), slice(0, 64)))


def test_one_channel_with_a_body_is_enough():
    body = find_body([np.zeros(SHAPE), phantom()], [1.0, AIR_HU])
    assert np.array_equal(body.blocks, find_body([phantom()], [AIR_HU]).blocks)


def test_normalised_ct_is_cut_where_its_air_ends():
    normal = ((phantom().clip(*CT.clip) - CT.mean) / CT.std).astype(np.float32)
    body = body_of(normal[None], [CT])
    assert voxels(body)[ball(SHAPE, CENTRE, 25)].all()
    assert body.box is not None
    assert np.prod([part.stop - part.start for part in body.box]) < 0.9 * np.prod(SHAPE)


def test_fat_below_the_window_of_a_model_is_air_to_it():
    """What is clipped away looks like air to the network too."""
    bone = CT.model_copy(update={"clip": (0.0, 1500.0)})
    normal = ((phantom().clip(*bone.clip) - bone.mean) / bone.std).astype(np.float32)
    inner, outer = body_of(normal[None], [bone]), find_body([phantom()], [AIR_HU])
    assert inner.blocks.sum() < outer.blocks.sum()
    assert not (inner.blocks & ~outer.blocks).any()


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (300, 20), (0.01, -1.5)])
def test_mr_air_is_what_is_dark_however_intensities_are_scaled(scale, shift):
    rng = np.random.default_rng(0)
    body = ball(SHAPE, CENTRE, 25)
    signal = np.where(body, rng.uniform(40, 110, SHAPE), 0)
    image = np.hypot(signal + rng.normal(0, 2, SHAPE), rng.normal(0, 2, SHAPE)) * scale + shift  # Rician noise
    found = find_body([image], [air_level(image)])
    assert voxels(found)[body].all()
    assert found.box is not None
    assert found.box != tuple(slice(0, n) for n in SHAPE)


def test_a_crop_without_air_is_all_body():
    image = np.random.default_rng(0).uniform(30, 100, (40, 48, 32))
    assert find_body([image], [air_level(image)]).blocks.all()


def test_a_constant_or_empty_channel_says_nothing():
    assert air_level(np.full((4, 4, 4), 7.0)) == np.inf
    assert air_level(np.full((4, 4, 4), np.nan)) == np.inf
