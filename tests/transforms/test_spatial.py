import math

import numpy as np
import pytest
import torch
from factories import ball
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medseg.config.training import AugmentationSection
from medseg.transforms.spatial import SpatialParams, fixed_axis, sample_spatial, source_patch, transform_space

PATCH = (20, 24, 16)
ODD = (27, 36, 23)


def block(shape, channels=1, seed=0):
    noise = np.random.default_rng(seed).normal(size=(channels, *shape))
    image = np.stack([ndimage.gaussian_filter(channel, 2) * 20 for channel in noise]).astype(np.float32)
    return torch.from_numpy(image), torch.from_numpy((image[0] > 0).astype(np.uint8))


def moved(array, patch, angles, zoom, order):
    """scipy's version: voxel of the patch to voxel of the block, both about their centres."""
    matrix = Rotation.from_euler("xyz", np.array(angles) * (1, -1, 1)).as_matrix() / zoom
    size, target = np.array(array.shape), np.array(patch)
    centre = (size - target) // 2 + (target - 1) / 2
    offset = centre - matrix @ ((target - 1) / 2)
    return ndimage.affine_transform(array, matrix, offset, patch, order=order, mode="constant")


@pytest.mark.parametrize("shape", [(30, 36, 24), ODD, PATCH])
@pytest.mark.parametrize("angles", [(0.3, 0.0, 0.0), (0.0, 0.4, 0.0), (0.0, 0.0, -0.5), (0.2, -0.3, 0.4)])
def test_image_and_target_equal_scipy(shape, angles):
    image, target = block(shape, channels=2)
    params = SpatialParams(PATCH, angles, zoom=1.2)
    turned, labels = transform_space(image, target, params)
    inner = (slice(4, -4),) * 3
    for ours, theirs in zip(turned.numpy(), image.numpy(), strict=True):
        expected = moved(theirs, PATCH, angles, 1.2, order=1)
        np.testing.assert_allclose(ours[inner], expected[inner], atol=1e-3)
    expected = moved(target.numpy(), PATCH, angles, 1.2, order=0)
    assert (labels.numpy()[inner] == expected[inner]).mean() > 0.999


def test_in_plane_rotation_of_a_2d_patch():
    image, target = block((30, 33, 1), channels=3)
    params = SpatialParams((20, 22, 1), (0.0, 0.0, 0.4), zoom=0.9)
    turned, labels = transform_space(image, target, params)
    angle = np.array([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]]) / 0.9
    start = np.array([5, 5])
    middle = np.array([19, 21]) / 2
    for ours, theirs in zip(turned.numpy()[..., 0], image.numpy()[..., 0], strict=True):
        expected = ndimage.affine_transform(theirs, angle, start + middle - angle @ middle, (20, 22), order=1)
        np.testing.assert_allclose(ours[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-3)
    assert labels.shape == (20, 22, 1)


def test_thick_slices_stay_slices():
    image, target = block((60, 48, 10))
    params = SpatialParams((40, 32, 8), (0.0, 0.0, 0.3), zoom=1.1)
    turned, labels = transform_space(image, target, params)
    for k in range(8):
        slice_params = SpatialParams((40, 32, 1), (0.0, 0.0, 0.3), zoom=1.1)
        one, label = transform_space(image[..., k + 1 : k + 2], target[..., k + 1 : k + 2], slice_params)
        torch.testing.assert_close(turned[..., k : k + 1], one)
        assert torch.equal(labels[..., k : k + 1], label)


@pytest.mark.parametrize("axes", [(), (0,), (1, 2), (0, 1, 2)])
def test_mirroring(axes):
    image, target = block(PATCH)
    flipped, labels = transform_space(image, target, SpatialParams(PATCH, mirrored=axes))
    assert torch.equal(flipped[0], image[0].flip(axes))
    assert torch.equal(labels, target.flip(axes))


def test_mirroring_comes_after_rotation():
    image, target = block(PATCH)
    plain = transform_space(image, target, SpatialParams(PATCH, (0.2, 0.1, 0.3)))
    mirrored = transform_space(image, target, SpatialParams(PATCH, (0.2, 0.1, 0.3), mirrored=(1,)))
    assert torch.equal(mirrored[0], plain[0].flip(2))
    assert torch.equal(mirrored[1], plain[1].flip(1))


def test_nothing_drawn_takes_the_middle_of_the_block():
    image, target = block(ODD)
    middle = (slice(3, 23), slice(6, 30), slice(3, 19))
    cut, labels = transform_space(image, target, SpatialParams(PATCH))
    assert torch.equal(cut[0], image[0][middle])
    assert torch.equal(labels, target[middle])


def test_a_rotation_of_almost_nothing_is_the_middle_of_the_block():
    image, target = block(ODD)
    turned, _ = transform_space(image, target, SpatialParams(PATCH, (1e-7, 0.0, 0.0)))
    torch.testing.assert_close(turned, transform_space(image, target, SpatialParams(PATCH))[0], atol=2e-4, rtol=0)


def test_things_grow_by_the_zoom():
    mask = torch.from_numpy(ball(radius=7).astype(np.uint8))
    _, larger = transform_space(mask[None].float(), mask, SpatialParams((32, 32, 32), zoom=1.3))
    assert larger.sum().item() / mask.sum().item() == pytest.approx(1.3**3, rel=0.05)


def test_values_survive_and_outside_is_background():
    target = torch.full((20, 20, 20), 255, dtype=torch.uint8)
    target[:10] = 7
    masks = torch.stack([target, target.flip(0)])
    _, labels = transform_space(torch.ones(1, 20, 20, 20), masks, SpatialParams((20, 20, 20), (0.5, 0.4, 0.3), 0.8))
    assert labels.shape == (2, 20, 20, 20)
    assert labels.dtype == torch.uint8
    assert set(labels.unique().tolist()) == {0, 7, 255}


def test_block_size():
    section = AugmentationSection()
    assert source_patch((40, 56, 40), section) == (60, 84, 60)
    assert source_patch((256, 192, 1), section) == (384, 288, 1)
    assert source_patch((96, 96, 24), section) == (144, 144, 24)
    assert source_patch((96, 96, 24), AugmentationSection(rotation=0, scaling=0)) == (96, 96, 24)
    assert source_patch((96, 96, 24), AugmentationSection(enabled=False)) == (96, 96, 24)
    assert source_patch((50, 50, 50), AugmentationSection(rotation=0, scale_range=(0.8, 1.4))) == (64, 64, 64)
    assert source_patch((50, 50, 50), AugmentationSection(scaling=0, rotation_degrees=10)) == (58, 58, 58)


def test_within_its_limits_no_transform_leaves_the_block():
    section = AugmentationSection(rotation_degrees=15, scaling=0)
    patch = (40, 40, 1)
    ones = torch.ones(1, *source_patch(patch, section))
    turned, _ = transform_space(ones, ones[0].byte(), SpatialParams(patch, (0.0, 0.0, math.radians(15))))
    torch.testing.assert_close(turned, torch.ones(1, *patch))


@pytest.mark.parametrize(
    ("patch", "axis"), [((40, 56, 40), None), ((64, 64, 1), 2), ((16, 64, 64), 0), ((20, 60, 60), None)]
)
def test_fixed_axis(patch, axis):
    assert fixed_axis(patch) == axis


def test_draws_stay_in_their_ranges():
    rng = np.random.default_rng(0)
    section = AugmentationSection(rotation=1, scaling=0.5, rotation_degrees=20, mirror_axes=(0, 2))
    drawn = [sample_spatial(section, 3, PATCH, rng) for _ in range(400)]
    angles = np.array([params.rotation for params in drawn])
    zooms = np.array([params.zoom for params in drawn])
    assert np.abs(angles).max() <= math.radians(20)
    assert (np.abs(angles).max(0) > math.radians(18)).all()
    assert 0.7 <= zooms.min() < 0.75
    assert 1.3 < zooms.max() <= 1.4
    assert (zooms == 1).mean() == pytest.approx(0.5, abs=0.1)
    assert (zooms < 1).mean() == pytest.approx((zooms > 1).mean(), abs=0.1)
    assert {params.mirrored for params in drawn} == {(), (0,), (2,), (0, 2)}


def test_a_2d_patch_turns_in_its_plane_only():
    rng = np.random.default_rng(0)
    drawn = [sample_spatial(AugmentationSection(rotation=1), 2, (64, 64, 1), rng) for _ in range(50)]
    assert all(params.rotation[:2] == (0, 0) and params.rotation[2] for params in drawn)
    assert max(axis for params in drawn for axis in params.mirrored) == 1
