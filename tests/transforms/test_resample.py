import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from factories import ball, geometry
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medseg.core.labels import IGNORE_INDEX
from medseg.transforms.resample import (
    coarse_axis,
    cubic_matrix,
    linear_matrix,
    nearest_matrix,
    resample_channel,
    resample_class_indices,
    resample_image,
    resample_masks,
)

SHAPES = [(12, 25, 9), (31, 7, 9), (16, 20, 1), (1, 1, 1), (16, 20, 9)]


def image(channels=1, shape=(16, 20, 9), seed=0):
    return np.random.default_rng(seed).normal(size=(channels, *shape)).astype(np.float32)


def zoomed(array, shape, order):
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    return ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_image_equals_scipy(shape, order):
    source = image()
    np.testing.assert_allclose(
        resample_image(source, shape, order)[0], zoomed(source[0], shape, order), atol=2e-6, rtol=0
    )


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_long_axes_in_any_order_of_memory_equal_scipy(order, axes):
    """Longer than the blocks that the matrices are made of, which leave out weights without effect."""
    source = image(shape=(150, 12, 90))
    lying = np.moveaxis(np.ascontiguousarray(np.moveaxis(source[0], (0, 1, 2), axes)), axes, (0, 1, 2))
    np.testing.assert_array_equal(lying, source[0])
    resampled = resample_channel(lying, (81, 30, 133), order)
    np.testing.assert_allclose(resampled, zoomed(source[0], (81, 30, 133), order), atol=3e-6, rtol=0)


def by_simpleitk(channel, shape, interpolator):
    """The channel on a grid over the same extent; spacing 1 before."""
    steps = [old / new for old, new in zip(channel.shape, shape, strict=True)]
    starts = [step / 2 - 0.5 for step in steps]
    moved = sitk.GetImageFromArray(np.ascontiguousarray(channel.T))
    made = sitk.Resample(moved, shape, sitk.Transform(), interpolator, starts, steps, np.eye(3).ravel().tolist())
    return sitk.GetArrayFromImage(made).T


@pytest.mark.parametrize("shape", [(40, 45, 75), (31, 80, 60), (70, 33, 29)])
def test_splines_equal_simpleitk_inside_the_volume(shape):
    """At its border SimpleITK mirrors the image, we go on with the border value: that is felt a dozen voxels deep."""
    source = image(shape=(60, 56, 50))[0]
    ours, theirs = resample_channel(source, shape, 3), by_simpleitk(source, shape, sitk.sitkBSpline)
    inside = tuple(slice(m, n - m) for n, m in ((new, -(-14 * new // 50)) for new in shape))
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=5e-6, rtol=0)
    assert ours[inside].size > 1000


def test_linear_equals_simpleitk_up_to_the_outer_centres():
    source = image(shape=(30, 26, 20))[0]
    ours, theirs = resample_channel(source, (17, 13, 33), 1), by_simpleitk(source, (17, 13, 33), sitk.sitkLinear)
    np.testing.assert_allclose(ours[:, :, 1:-1], theirs[:, :, 1:-1], atol=2e-6, rtol=0)


@pytest.mark.parametrize("shape", [(60, 60, 60), (200, 150, 120)])
def test_at_most_two_arrays_are_made(shape):
    source = image(shape=(120, 110, 100))[0]
    for lying in (source, np.asfortranarray(source)):
        tracemalloc.start()
        resample_channel(lying, shape, 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2.1 * max(source.nbytes, 4 * np.prod(shape))


@pytest.mark.parametrize("order", [1, 3])
def test_an_axis_of_one_voxel_is_repeated(order):
    source = image(shape=(5, 1, 4))
    np.testing.assert_allclose(
        resample_image(source, (5, 6, 4), order), np.repeat(source, 6, axis=2), atol=1e-6, rtol=0
    )


def test_linear_equals_torch():
    source = image(channels=2)
    ours = resample_image(source, (24, 11, 13), order=1)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(source)[None], (24, 11, 13), mode="trilinear")[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_samples_lie_where_the_geometry_says():
    """A field that is linear in space has the value of its place after resampling, away from the border."""
    grid = geometry((20, 24, 16), oblique_degrees=17)
    new = grid.with_shape((13, 31, 16))

    def field(g):
        indices = np.indices(g.shape).reshape(3, -1)
        world = g.affine[:3, :3] @ indices + g.affine[:3, 3:]
        return (np.array([1.0, -2.0, 0.5]) @ world).reshape(g.shape)

    resampled = resample_image(field(grid)[None].astype(np.float32), new.shape)[0]
    inner = (slice(4, -4), slice(8, -8), slice(3, -3))
    np.testing.assert_allclose(resampled[inner], field(new)[inner], atol=2e-2)


def test_nearest_axis_takes_slices_as_they_are():
    source = image(shape=(16, 20, 5))
    resampled = resample_image(source, (12, 20, 11), nearest_axis=2)[0]
    in_plane = np.stack([zoomed(source[0, :, :, k], (12, 20), 3) for k in range(5)], axis=2)
    np.testing.assert_allclose(resampled, zoomed(in_plane, (12, 20, 11), 0), atol=2e-6)


def test_same_shape_changes_nothing():
    source = image()
    channel = source[0]
    assert resample_channel(channel, (16, 20, 9)) is channel
    np.testing.assert_array_equal(resample_image(source, (16, 20, 9)), source)


@given(before=st.integers(1, 40), after=st.integers(1, 40))
def test_rows_of_every_matrix_sum_to_one(before, after):
    for build in (linear_matrix, cubic_matrix, nearest_matrix):
        matrix = build(before, after)
        assert matrix.shape == (after, before)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 25, 9), (31, 7, 18)])
def test_classes_equal_argmax_of_linear_shares(shape):
    labels = ndimage.zoom(np.random.default_rng(1).integers(0, 4, (5, 6, 4)).astype(np.uint8), 4, order=0)
    shares = np.stack([zoomed((labels == index).astype(np.float64), shape, 1) for index in range(4)])
    ours = resample_class_indices(labels, shape)
    best = shares.max(0)
    assert ours.dtype == np.uint8
    np.testing.assert_allclose(np.take_along_axis(shares, ours[None].astype(int), 0)[0], best, atol=1e-5)
    clear = np.sort(shares, 0)[-2] < best - 1e-4
    np.testing.assert_array_equal(ours[clear], shares.argmax(0)[clear])


def test_volume_of_a_ball_is_kept():
    labels = ball().astype(np.uint8) * 3
    resampled = resample_class_indices(labels, (24, 40, 64))
    assert set(np.unique(resampled)) == {0, 3}
    assert (resampled == 3).sum() / (24 * 40 * 64) == pytest.approx((labels == 3).mean(), rel=0.02)


def test_a_tie_goes_to_the_structure_and_to_the_later_one():
    halves = np.array([0, 1, 1, 2, 0, 0, 2, 0], np.uint8).reshape(8, 1, 1)
    np.testing.assert_array_equal(resample_class_indices(halves, (4, 1, 1)).ravel(), [1, 2, 0, 2])


def test_ignored_voxels_are_taken_from_the_nearest():
    labels = np.zeros((9, 3, 3), np.uint8)
    labels[6:] = IGNORE_INDEX
    labels[4:6] = 1
    resampled = resample_class_indices(labels, (18, 3, 3))
    np.testing.assert_array_equal(resampled[:, 1, 1], [0] * 8 + [1] * 4 + [IGNORE_INDEX] * 6)


def test_classes_of_an_anisotropic_image_are_not_blended_across_slices():
    labels = np.zeros((8, 8, 3), np.uint8)
    labels[2:6, 2:6, 1] = 1
    resampled = resample_class_indices(labels, (8, 8, 9), nearest_axis=2)
    np.testing.assert_array_equal(resampled, np.repeat(labels, 3, axis=2))


def test_a_structure_between_the_new_voxels_is_lost():
    labels = np.zeros((90, 8, 8), np.uint8)
    labels[45] = 1
    assert not resample_class_indices(labels, (10, 8, 8)).any()
    assert not resample_masks(labels[np.newaxis] == 1, (10, 8, 8)).any()


def test_background_alone_stays():
    assert not resample_class_indices(np.zeros((4, 5, 6), np.uint8), (8, 3, 6)).any()


def test_masks_equal_scipy_and_may_overlap():
    masks = np.stack(
        [ball((20, 22, 18), (9, 10, 8), 6), ball((20, 22, 18), (11, 10, 8), 5), np.zeros((20, 22, 18), bool)]
    )
    shape = (27, 15, 18)
    shares = np.stack([zoomed(mask.astype(np.float64), shape, 1) for mask in masks])
    ours = resample_masks(masks, shape)
    clear = np.abs(shares - 0.5) > 1e-4
    np.testing.assert_array_equal(ours[clear], (shares >= 0.5)[clear])
    assert (ours[0] & ours[1]).any()
    assert not ours[2].any()


@pytest.mark.parametrize(
    ("before", "after", "axis"),
    [
        ((1, 1, 1), (1, 1, 1), None),
        ((1, 1, 3), (1, 1, 1), None),
        ((1, 1, 3.5), (1, 1, 1), 2),
        ((5, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 4, 1), 1),
        ((0.25, 1.25, 1.25), (1, 1, 1), None),
    ],
)
def test_coarse_axis(before, after, axis):
    assert coarse_axis(before, after) == axis


@pytest.mark.parametrize("axis", [None, 0])
def test_a_channel_that_keeps_its_shape_costs_nothing(monkeypatch, axis):
    monkeypatch.setattr("medseg.transforms.resample._matrices", None)  # the spline's matrix of 512 samples takes long
    channel = np.random.default_rng(0).standard_normal((7, 5, 3), dtype=np.float32)
    assert resample_channel(channel, (7, 5, 3), nearest_axis=axis) is channel
