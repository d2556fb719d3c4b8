from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import GeometryError
from medseg.core.geometry import Geometry, LengthUnit


def world(grid: Geometry, index) -> np.ndarray:
    return grid.affine[:3, :3] @ np.asarray(index) + grid.affine[:3, 3]


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_axis_codes_are_nibabels(codes):
    grid = geometry(codes=codes, oblique_degrees=12)
    assert grid.axis_codes == codes == "".join(nib.aff2axcodes(grid.affine))


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_reorienting_keeps_every_voxel_where_it_is(codes):
    grid = geometry(codes="PIR", oblique_degrees=20)
    axes = grid.axis_map(codes)
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    moved, there = axes.apply(array), grid.mapped(axes)
    for index in [(0, 0, 0), (1, 2, 3), (5, 0, 4)]:
        before = np.argwhere(array == moved[index])[0]
        np.testing.assert_allclose(world(there, index), world(grid, before), atol=1e-9)


@given(st.sampled_from(ALL_ORIENTATIONS), st.sampled_from(ALL_ORIENTATIONS))
def test_an_axis_map_and_its_inverse_undo_each_other(one, other):
    grid = geometry(codes=one)
    axes = grid.axis_map(other)
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    np.testing.assert_array_equal(axes.inverse.apply(axes.apply(array)), array)
    assert grid.mapped(axes).mapped(axes.inverse).is_close(grid)


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_a_box_goes_where_its_voxels_go(codes):
    grid = geometry((7, 8, 9), codes="PIR")
    axes, box = grid.axis_map(codes), (slice(1, 3), slice(2, 7), slice(0, 4))
    mask = np.zeros(grid.shape, bool)
    mask[box] = True
    moved = np.zeros(grid.mapped(axes).shape, bool)
    moved[axes.box(box, grid.shape)] = True
    np.testing.assert_array_equal(moved, axes.apply(mask))
    assert axes.inverse.box(axes.box(box, grid.shape), moved.shape) == box


def test_resampling_keeps_the_outer_faces():
    grid = geometry(shape=(10, 12, 7), spacing=(1.0, 1.5, 3.0), oblique_degrees=15)
    finer = grid.resampled((0.5, 1.5, 1.0))
    assert finer.shape == (20, 12, 21)
    np.testing.assert_allclose(world(finer, (-0.5, -0.5, -0.5)), world(grid, (-0.5, -0.5, -0.5)), atol=1e-9)
    np.testing.assert_allclose(world(finer, (19.5, 11.5, 20.5)), world(grid, (9.5, 11.5, 6.5)), atol=1e-9)
    np.testing.assert_allclose(finer.spacing, (0.5, 1.5, 1.0))


def test_cropping_moves_the_origin():
    grid = geometry()
    part = grid.cropped((slice(1, 4), slice(2, 5), slice(0, 9)))
    assert part.shape == (3, 3, 9)
    np.testing.assert_allclose(world(part, (0, 0, 0)), world(grid, (1, 2, 0)))


def test_a_shift_of_half_a_millimetre_is_another_grid():
    grid = geometry()
    moved = Geometry(grid.shape, grid.affine + np.array([[0, 0, 0, 0.5], *np.zeros((3, 4))]))
    assert not grid.is_close(moved)
    assert grid.offset(moved) == pytest.approx(0.5)


def test_volume_of_a_voxel():
    assert geometry(spacing=(1.0, 1.5, 2.0), oblique_degrees=30).voxel_volume == pytest.approx(3.0)


def test_the_affine_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        geometry().affine[0, 0] = 7


def test_pixels_are_a_unit_of_their_own():
    assert Geometry.from_spacing((4, 5, 1), unit=LengthUnit.PIXEL).reoriented("LPS").unit is LengthUnit.PIXEL


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((2, 2, 2), np.eye(3), "affine must be 4x4, got 3x3"),
        ((2, 2, 2), np.diag([1, 1, 0, 1]), "singular"),
        ((2, 2, 2), np.diag([1, 1, np.nan, 1]), "not finite"),
        ((2, 0, 2), np.eye(4), "three positive numbers"),
        ((2, 2), np.eye(4), "three positive numbers"),
    ],
)
def test_a_broken_grid_is_refused(shape, affine, message):
    with pytest.raises(GeometryError, match=message):
        Geometry(shape, affine)


@pytest.mark.parametrize("codes", ["RA", "RAR", "XYZ", "RLS"])
def test_codes_that_are_none_are_refused(codes):
    with pytest.raises(GeometryError, match="axis codes must be three of"):
        geometry().reoriented(codes)
