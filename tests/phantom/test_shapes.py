from __future__ import annotations

import numpy as np
import pytest
from factories import geometry
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from medseg.core.geometry import Geometry
from medseg.phantom.bodies import rasterise
from medseg.phantom.shapes import (
    Common,
    Ellipsoid,
    Inset,
    Joined,
    Lumpy,
    Ripples,
    Tube,
    coverage,
    voxel_centres,
)

GRID = Geometry.from_spacing((64, 60, 40), (1.5, 1.5, 2.5))
MIDDLE = (47.0, 45.0, 49.0)


@pytest.mark.parametrize(
    ("radii", "turn"),
    [((30.0, 30.0, 30.0), (0, 0, 0)), ((38.0, 25.0, 30.0), (0, 0, 0)), ((38.0, 18.0, 24.0), (20.0, -35.0, 50.0))],
)
def test_rasterised_ellipsoid_has_its_analytic_volume(radii, turn):
    body = Ellipsoid(MIDDLE, radii, turn)
    a, b, c = radii
    assert body.volume == pytest.approx(4 / 3 * np.pi * a * b * c)
    assert rasterise(body, GRID).sum() * GRID.voxel_volume == pytest.approx(body.volume, rel=0.02)


def test_coverage_sums_to_the_volume_and_is_soft_at_the_surface_only():
    body = Ellipsoid(MIDDLE, (38, 18, 24), (20, -35, 50))
    field = body.field(voxel_centres(GRID))
    share = coverage(field)
    assert share.sum() * GRID.voxel_volume == pytest.approx(body.volume, rel=0.01)
    assert ((share == 1) | (np.abs(field) < 3))[field < 0].all()
    assert not share[field > 3].any()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_coverage_of_a_flat_wall_is_the_covered_share_of_each_voxel(spacing):
    grid = Geometry.from_spacing((6, 5, 8), spacing)
    wall = voxel_centres(grid)[2] - np.float32(3.25 * spacing[2])
    assert coverage(wall)[2, 2] == pytest.approx([1, 1, 1, 0.75, 0, 0, 0, 0], abs=1e-6)


def test_ellipsoid_field_is_near_the_true_distance_close_to_the_surface():
    body = Ellipsoid((0, 0, 0), (20, 14, 10), (10, 20, 30))
    rng = np.random.default_rng(0)
    points = rng.uniform(-25, 25, (3, 4000)).astype(np.float32)
    values = body.field(points)
    surface = _surface_points(body)
    true, _ = cKDTree(surface).query(points.T)
    near = true < 2
    assert np.abs(np.abs(values[near]) - true[near]).max() < 0.35


def _surface_points(body: Ellipsoid) -> np.ndarray:
    directions = np.random.default_rng(1).normal(size=(60000, 3))
    on_ball = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return Rotation.from_euler("xyz", body.turn, degrees=True).apply(on_ball * body.radii)


def test_field_at_the_centre_is_finite_and_inside():
    assert Ellipsoid((1, 2, 3), (5, 6, 7)).field(np.array([[1], [2], [3]], dtype=np.float32)) == pytest.approx([-5])


def test_boxy_ellipsoid_fills_more_of_its_box():
    one, two = (rasterise(Ellipsoid(MIDDLE, (30, 30, 30), exponent=n), GRID).mean() for n in (2, 6))
    assert two > 1.4 * one


def test_tube_is_a_capsule():
    tube = Tube(((20, 45, 50), (70, 45, 50)), (12, 12))
    expected = np.pi * 12**2 * 50 + 4 / 3 * np.pi * 12**3
    assert rasterise(tube, GRID).sum() * GRID.voxel_volume == pytest.approx(expected, rel=0.02)


def test_tube_tapers():
    tube = Tube(((0, 0, 0), (0, 0, 30), (0, 0, 60)), (4, 8, 2))
    points = np.array([[4, 0, 0], [8, 0, 30], [5, 0, 45]], dtype=np.float32).T
    assert tube.field(points) == pytest.approx([0, 0, 0], abs=1e-5)


def test_common_joined_and_inset_are_set_operations():
    points = voxel_centres(GRID)
    one, two = Ellipsoid((40.3, 45, 49), (20, 20, 20)), Ellipsoid((60.7, 45, 49), (20, 20, 20))
    a, b = (solid.field(points) < 0 for solid in (one, two))
    assert np.array_equal(Common(one, two).field(points) < 0, a & b)
    assert np.array_equal(Common(one, two, outside=True).field(points) < 0, a & ~b)
    joined = Joined(one, two, 8).field(points) < 0
    assert joined[a | b].all()
    assert joined.sum() > (a | b).sum()
    inset = Inset(one, 5).field(points) < 0
    assert inset.sum() * GRID.voxel_volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_lies_outside_the_bounds(seed):
    rng = np.random.default_rng(seed)
    one = Ellipsoid(MIDDLE, (20, 12, 9), tuple(rng.uniform(-90, 90, 3)), exponent=2 + 2 * rng.random())
    two = Tube((MIDDLE, (60, 60, 70)), (5, 9))
    points = voxel_centres(GRID)
    for solid in (one, two, Joined(one, two, 6), Inset(one, -3), Lumpy(one, 2, Ripples.draw(rng, 20))):
        inside = points[:, solid.field(points) < 0]
        assert (inside >= solid.bounds.low[:, None]).all()
        assert (inside <= solid.bounds.high[:, None]).all()


def test_ripples_are_about_one_in_size():
    values = Ripples.draw(np.random.default_rng(0), 20, waves=5)(voxel_centres(GRID))
    assert np.sqrt((values**2).mean()) == pytest.approx(np.sqrt(0.5), rel=0.1)


def test_voxel_centres_follow_the_affine():
    grid = geometry(codes="PSL", oblique_degrees=10)
    centres = voxel_centres(grid)
    assert centres[:, 1, 2, 3] == pytest.approx((grid.affine @ [1, 2, 3, 1])[:3], abs=1e-4)
