import itertools
import math

import numpy as np
import pytest
import SimpleITK
from factories import ball, geometry
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import pdist

from medseg.core.geometry import Geometry, LengthUnit
from medseg.metrics.shape import shape_of

LENGTHS = ("major_axis", "minor_axis", "least_axis", "diameter")
RATIOS = ("sphericity", "elongation", "flatness")


def ellipsoid(shape=(30, 28, 32), centre=(15, 13, 16), radii=(6, 8, 12)):
    axes = zip(np.ogrid[: shape[0], : shape[1], : shape[2]], centre, radii, strict=True)
    return sum(((axis - c) / r) ** 2 for axis, c, r in axes) <= 1


def placed(mask, spacing=(1.0, 1.0, 1.0)):
    return shape_of(mask, Geometry.from_spacing(mask.shape, spacing))


def test_a_box_is_known():
    mask = np.zeros((12, 12, 12), bool)
    mask[1:11, 2:8, 3:7] = True  # 10 x 6 x 4 voxels
    found = placed(mask, (1.0, 2.0, 3.0))
    assert (found.voxels, found.volume) == (240, 240 * 6 / 1000)
    spread = np.array([10, 6, 4]) ** 2 - 1  # twelve times the variance of 1 … n
    expected = sorted(4 * np.sqrt(spread / 12) * [1, 2, 3], reverse=True)
    assert [found.major_axis, found.minor_axis, found.least_axis] == pytest.approx(expected)
    assert found.centroid == pytest.approx((5.5, 9.0, 13.5))
    assert found.diameter == pytest.approx(np.linalg.norm([10 - 1, 12 - 2, 12]))  # its edges are cut off
    assert found.mesh_volume < found.volume


def test_axes_centre_and_volume_equal_simpleitks():
    mask, spacing = ellipsoid(), (0.8, 1.2, 2.0)
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8).T)
    image.SetSpacing(spacing)
    statistics = SimpleITK.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    found = placed(mask, spacing)
    axes = [found.least_axis, found.minor_axis, found.major_axis]
    assert axes == pytest.approx(4 * np.sqrt(statistics.GetPrincipalMoments(1)))
    assert found.centroid == pytest.approx(statistics.GetCentroid(1))
    assert found.volume == pytest.approx(statistics.GetPhysicalSize(1) / 1000)


def test_a_ball_is_round_but_for_its_steps():
    found = placed(ball((64, 64, 64), (31.5, 31.5, 31.5), 25), (0.5, 0.5, 0.5))
    assert found.mesh_volume == pytest.approx(4 / 3 * math.pi * 12.5**3 / 1000, rel=0.01)
    assert found.surface == pytest.approx(4 * math.pi * 12.5**2 * 1.09, rel=0.01)
    assert found.sphericity == pytest.approx(1 / 1.09, abs=0.01)
    assert (found.elongation, found.flatness) == pytest.approx((1, 1))
    assert found.major_axis == pytest.approx(25 * 2 / math.sqrt(5), rel=0.005)
    assert found.diameter == pytest.approx(25, rel=0.02)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=5)))
def test_the_diameter_is_the_largest_distance_between_points_of_the_surface(mask):
    spacing = np.array([0.7, 1.1, 2.0])
    padded = np.pad(mask, 1)
    points = []
    for axis in range(3):
        place = np.argwhere(np.diff(padded.astype(np.int8), axis=axis)).astype(float)
        place[:, axis] += 0.5
        points.append(place * spacing)
    if mask.any():
        assert placed(mask, tuple(spacing)).diameter == pytest.approx(pdist(np.concatenate(points)).max())


@pytest.mark.parametrize("degrees", [0, 17, 40])
def test_where_it_lies_changes_only_the_centre(degrees):
    mask, straight = ellipsoid(), placed(ellipsoid(), (0.8, 1.2, 2.0))
    grid = geometry(mask.shape, (0.8, 1.2, 2.0), oblique_degrees=degrees)
    found = shape_of(mask, grid)
    for name in ("volume", "mesh_volume", "surface", *LENGTHS, *RATIOS):
        assert getattr(found, name) == pytest.approx(getattr(straight, name))
    assert found.centroid == pytest.approx((grid.affine @ [*np.argwhere(mask).mean(axis=0), 1])[:3])


def test_turned_arrays_have_the_same_shape():
    mask = np.random.default_rng(1).random((7, 6, 5)) < 0.5
    expected = placed(mask, (0.8, 1.2, 2.0))
    for order in itertools.permutations(range(3)):
        turned = mask.transpose(order)[::-1]
        found = placed(turned, tuple((0.8, 1.2, 2.0)[axis] for axis in order))
        assert [getattr(found, name) for name in LENGTHS + RATIOS] == pytest.approx(
            [getattr(expected, name) for name in LENGTHS + RATIOS]
        )
        assert found.surface == pytest.approx(expected.surface)


@given(st.floats(0.2, 7))
def test_lengths_surfaces_and_volumes_scale(factor):
    one, other = placed(ellipsoid(), (0.8, 1.2, 2.0)), placed(ellipsoid(), (0.8 * factor, 1.2 * factor, 2.0 * factor))
    for name, power in {
        **dict.fromkeys(LENGTHS, 1),
        **dict.fromkeys(RATIOS, 0),
        "surface": 2,
        "mesh_volume": 3,
    }.items():
        assert getattr(other, name) == pytest.approx(getattr(one, name) * factor**power)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_2d_image_has_an_outline(axis):
    plane = np.hypot(*(np.indices((60, 60)) - 29.5)) <= 20
    disc = np.expand_dims(plane, axis)
    spacing = [0.5, 0.5, 0.5]
    spacing[axis] = 5.0
    found = placed(disc, tuple(spacing))
    assert found.volume == pytest.approx(plane.sum() * 0.25 * 5 / 1000)
    assert found.mesh_volume == pytest.approx(math.pi * 100 * 5 / 1000, rel=0.01)
    assert found.surface == pytest.approx(2 * math.pi * 10 * 1.05, rel=0.02)
    assert found.diameter == pytest.approx(20, rel=0.03)
    assert found.elongation == pytest.approx(1)
    assert math.isnan(found.least_axis)
    assert math.isnan(found.flatness)


def test_one_slice_of_a_volume_is_flat():
    mask = np.zeros((9, 9, 5), bool)
    mask[2:7, 3:6, 2] = True
    found = placed(mask)
    assert (found.least_axis, found.flatness) == (0, 0)
    assert found.surface > 2 * 8


def test_pixels_have_no_millilitres():
    found = shape_of(np.ones((3, 4, 1), bool), Geometry.from_spacing((3, 4, 1), unit=LengthUnit.PIXEL))
    assert found.volume == 12


def test_nothing_and_next_to_nothing():
    empty = placed(np.zeros((4, 4, 4), bool))
    assert (empty.voxels, empty.volume, empty.mesh_volume) == (0, 0, 0)
    assert np.isnan([empty.surface, empty.diameter, empty.elongation, *empty.centroid]).all()
    one = np.zeros((3, 3, 3), bool)
    one[1, 1, 1] = True
    single = placed(one)
    assert (single.major_axis, single.diameter) == (0, 1)
    assert math.isnan(single.elongation)
    line = placed(np.ones((5, 1, 1), bool))
    assert line.major_axis == pytest.approx(4 * math.sqrt(2))
    assert np.isnan([line.surface, line.diameter, line.minor_axis, line.mesh_volume]).all()
    dot = placed(np.ones((1, 1, 1), bool))
    assert (dot.volume, math.isnan(dot.major_axis)) == (0.001, True)
