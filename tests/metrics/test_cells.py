import itertools

import numpy as np
import pytest
import torch
from factories import ball
from monai.metrics import utils
from skimage import measure

from medseg.metrics.cells import corner_codes, inside_shares, surface_sizes


def counts(mask):
    return np.bincount(corner_codes(mask).ravel(), minlength=2 ** (2**mask.ndim))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.3, 5.0)])
def test_areas_equal_the_table_of_surface_distance(spacing):
    table, _ = utils.create_table_neighbour_code_to_surface_area(spacing)
    assert surface_sizes(np.diag(spacing)) == pytest.approx(np.asarray(table), abs=1e-6)
    table, _ = utils.create_table_neighbour_code_to_contour_length(spacing[:2])
    lengths = table.numpy() if isinstance(table, torch.Tensor) else table
    assert surface_sizes(np.diag(spacing[:2])) == pytest.approx(lengths, abs=1e-6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.3, 5.0)])
def test_a_ball_equals_scikit_images_mesh(spacing):
    mask = ball()
    points, faces, _, _ = measure.marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing)
    corners = points[faces].astype(np.float64)
    volume = abs((corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6)
    assert counts(mask) @ surface_sizes(np.diag(spacing)) == pytest.approx(measure.mesh_surface_area(points, faces))
    assert counts(mask) @ inside_shares(3) * np.prod(spacing) == pytest.approx(volume)


def test_one_voxel_is_an_octahedron_and_one_pixel_a_square_on_its_tip():
    assert counts(np.ones((1, 1, 1), bool)) @ inside_shares(3) == pytest.approx(1 / 6)
    assert counts(np.ones((1, 1, 1), bool)) @ surface_sizes(np.eye(3)) == pytest.approx(np.sqrt(3))
    assert counts(np.ones((1, 1), bool)) @ inside_shares(2) == pytest.approx(1 / 2)
    assert counts(np.ones((1, 1), bool)) @ surface_sizes(np.eye(2)) == pytest.approx(2 * np.sqrt(2))


@pytest.mark.parametrize("axes", [2, 3])
def test_what_is_not_inside_is_outside(axes):
    shares = inside_shares(axes)
    inside = np.array([code.bit_count() for code in range(len(shares))])
    apart = inside != 2 ** (axes - 1)
    assert (shares + shares[::-1])[apart] == pytest.approx(1)
    assert shares[0] == 0


def test_turning_and_mirroring_change_nothing():
    mask = np.random.default_rng(0).random((18, 20, 22)) < 0.4  # every code occurs
    spacing = np.array([0.8, 1.3, 5.0])
    assert (counts(mask) > 0).all()
    expected = counts(mask) @ surface_sizes(np.diag(spacing)), counts(mask) @ inside_shares(3)
    for order, steps in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        turned = mask.transpose(order)[tuple(slice(None, None, step) for step in steps)]
        sizes = surface_sizes(np.diag(spacing[list(order)]))
        assert (counts(turned) @ sizes, counts(turned) @ inside_shares(3)) == pytest.approx(expected)


def test_a_sheared_grid_is_measured_as_it_lies():
    edges = np.array([[1.0, 0.5], [0.0, 1.0]])  # a square of 2 by 2 pixels becomes a parallelogram, its tips cut off
    square = np.ones((2, 2), bool)
    straight = 2 * 1.0 + 2 * np.hypot(0.5, 1)
    tips = 2 * np.linalg.norm([0.75, 0.5]) + 2 * np.linalg.norm([0.25, 0.5])
    assert counts(square) @ surface_sizes(edges) == pytest.approx(straight + tips)
