"""An image on another grid: the values are where they were in the patient."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from factories import ALL_ORIENTATIONS, geometry
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.geometry import Geometry
from medseg.transforms.regrid import covered_share, regridded

LPS = np.diag([-1.0, -1.0, 1.0])


def places(grid: Geometry) -> np.ndarray:
    """Positions of the voxels, shape ``(3, i, j, k)``."""
    indices = np.indices(grid.shape).reshape(3, -1)
    return (grid.affine[:3, :3] @ indices + grid.affine[:3, 3:]).reshape(3, *grid.shape)


def sloping(grid: Geometry) -> np.ndarray:
    """A field that is linear in the patient."""
    x, y, z = places(grid)
    return (2 * x - 3 * y + 0.5 * z).astype(np.float32)


def as_itk(array: np.ndarray, grid: Geometry) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    directions = LPS @ grid.affine[:3, :3] / np.array(grid.spacing)
    image.SetSpacing(grid.spacing)
    image.SetDirection(directions.flatten().tolist())
    image.SetOrigin((LPS @ grid.affine[:3, 3]).tolist())
    return image


SOURCE = geometry((30, 28, 26), (1.0, 1.2, 1.5))
TURNED = geometry((20, 18, 16), (1.3, 1.1, 1.2), oblique_degrees=9)


@pytest.mark.parametrize(
    ("source", "interpolator"),
    [(SOURCE, SimpleITK.sitkBSpline3), (geometry((30, 28, 10), (1.0, 1.2, 4.2)), SimpleITK.sitkLinear)],
    ids=["cubic", "linear where slices lie far apart"],
)
def test_as_simpleitk(source, interpolator):
    array = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    middle = source.affine @ [*((np.array(source.shape) - 1) / 2), 1]
    target = geometry((12, 11, 9), (1.1, 0.9, 1.0), oblique_degrees=11)
    affine = target.affine.copy()
    affine[:3, 3] = middle[:3] - affine[:3, :3] @ ((np.array(target.shape) - 1) / 2)
    target = Geometry(target.shape, affine)
    reference = as_itk(np.zeros(target.shape, np.float32), target)
    theirs = SimpleITK.Resample(as_itk(array, source), reference, SimpleITK.Transform(), interpolator, 0.0)
    ours = regridded(array, source, target)
    np.testing.assert_allclose(ours, SimpleITK.GetArrayFromImage(theirs).T, atol=2e-3)


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::5])
def test_another_orientation_of_one_grid_is_exact(codes):
    array = np.random.default_rng(0).normal(size=SOURCE.shape).astype(np.float32)
    turned = SOURCE.axis_map(codes)
    found = regridded(array, SOURCE, SOURCE.mapped(turned))
    np.testing.assert_allclose(found, turned.apply(array), atol=1e-4)


@given(st.floats(-20, 20), st.floats(0.7, 1.6), st.sampled_from(ALL_ORIENTATIONS))
def test_a_linear_field_stays_what_it_was(degrees, size, codes):
    big = geometry((40, 40, 40), (2.0, 2.0, 2.0))
    centre = big.affine @ [19.5, 19.5, 19.5, 1]
    small = geometry((10, 11, 12), (size, size, size), oblique_degrees=degrees)
    affine = small.affine.copy()
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ np.array([4.5, 5, 5.5])
    target = Geometry(small.shape, affine).reoriented(codes)
    np.testing.assert_allclose(regridded(sloping(big), big, target), sloping(target), atol=2e-2)


def test_beyond_the_image_lies_its_smallest_value():
    array = np.full(SOURCE.shape, 7, np.int16)
    array[4, 4, 4] = -3
    wide = SOURCE.cropped((slice(-5, 30), slice(0, 28), slice(0, 26)))
    found = regridded(array, SOURCE, wide)
    assert (found[:5] == -3).all()
    assert np.abs(found[5:] - array).max() < 1e-3


def test_values_that_are_not_finite_do_not_spread():
    array = np.random.default_rng(0).normal(size=SOURCE.shape)
    array[3, 3, 3] = np.nan
    assert np.isfinite(regridded(array, SOURCE, TURNED)).all()


def test_a_single_slice_reaches_half_its_thickness():
    flat = Geometry.from_spacing((6, 6, 1), (1, 1, 8))
    target = Geometry.from_spacing((6, 6, 9)).cropped((slice(0, 6), slice(0, 6), slice(-5, 6)))
    found = regridded(np.ones(flat.shape) * 5, flat, target)
    assert (found[..., 1:10] == 5).all()
    picture = np.arange(36.0).reshape(6, 6, 1)
    found = regridded(picture, flat, target)
    np.testing.assert_allclose(found[..., 5], picture[..., 0], atol=1e-4)
    assert (found[..., 0] == 0).all()


@pytest.mark.parametrize(
    ("shift", "share"),
    [((0, 0, 0), 1.0), ((15, 0, 0), 0.5), ((15, 14, 0), 0.25), ((30, 0, 0), 0.0), ((-24, 0, 0), 0.2)],
)
def test_covered_share(shift, share):
    i, j, k = shift
    other = SOURCE.cropped((slice(i, i + 30), slice(j, j + 28), slice(k, k + 26)))
    assert covered_share(other, SOURCE) == pytest.approx(share, abs=0.02)


def test_a_larger_grid_covers_all_and_is_covered_in_part():
    wide = SOURCE.cropped((slice(-15, 45), slice(0, 28), slice(0, 26)))
    assert (covered_share(wide, SOURCE), covered_share(SOURCE, wide)) == (1.0, 0.5)
