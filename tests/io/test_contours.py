"""Polygons around masks and masks inside polygons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import find_contours, grid_points_in_poly

from medseg.core.errors import GeometryError
from medseg.io import contours
from medseg.io.contours import filled, filled_part, outlines

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
BOARD = np.indices((7, 8)).sum(0) % 2 == 0
NESTED = np.pad(np.pad(np.pad(np.ones((1, 1), bool), 2), 1, constant_values=True), 1)


def area(points: np.ndarray) -> float:
    x, y = points.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def noise(shape, share, seed=0):
    return np.random.default_rng(seed).random(shape) < share


def distance_to_lines(points: np.ndarray, shape) -> float:
    """From the nearest pixel centre to a closed polygon."""
    centres = np.indices(shape).reshape(2, -1).T[:, None]
    start, step = points[None], (np.roll(points, -1, axis=0) - points)[None]
    along = ((centres - start) * step).sum(-1) / (step**2).sum(-1)
    return float(np.linalg.norm(start + np.clip(along, 0, 1)[..., None] * step - centres, axis=-1).min())


@given(MASKS)
def test_a_mask_comes_back(mask):
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.8, 0.98])
def test_a_large_mask_comes_back(share):
    mask = noise((150, 90), share)
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        (np.zeros((3, 4), bool), 0),
        (np.zeros((0, 4), bool), 0),
        (np.ones((1, 1), bool), 1),
        (np.ones((3, 4), bool), 1),
        (BOARD, 28),
        (~BOARD, 28),
        (NESTED, 2),
        (np.eye(4, dtype=bool), 4),
        (~np.eye(4, dtype=bool), 2),
    ],
)
def test_each_part_is_one_polygon_whatever_holes_it_has(mask, count):
    polygons = outlines(mask)
    assert len(polygons) == count
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)


@given(MASKS)
def test_parts_are_those_that_share_a_side(mask):
    labels, count = ndimage.label(mask)
    polygons = outlines(mask)
    assert len(polygons) == count
    found = [labels[filled([polygon], mask.shape)] for polygon in polygons]
    assert all(len(np.unique(part)) == 1 for part in found)


@given(MASKS)
def test_another_reader_that_unites_polygons_sees_the_same(mask):
    inside = [grid_points_in_poly(mask.shape, polygon) for polygon in outlines(mask)]
    np.testing.assert_array_equal(np.any([np.zeros(mask.shape, bool), *inside], axis=0), mask)


@given(MASKS)
def test_the_lines_are_marching_squares_and_bridges(mask):
    polygons = outlines(mask)
    reference = find_contours(np.pad(mask, 1).astype(float), 0.5)
    assert sum(map(area, polygons)) == pytest.approx(-sum(area(ring - 1) for ring in reference))
    theirs = {tuple(point) for ring in reference for point in (ring - 1).tolist()}
    ours = {tuple(point) for polygon in polygons for point in polygon.tolist()}
    assert all((np.array(point) * 4 % 2 == 1).any() for point in ours - theirs)


@given(MASKS)
def test_no_line_comes_near_a_centre(mask):
    assert all(distance_to_lines(polygon, mask.shape) >= 0.25 for polygon in outlines(mask))


def test_straight_lines_have_no_points_in_between():
    (polygon,) = outlines(np.ones((30, 40), bool))
    assert len(polygon) == 8


def test_a_centre_on_a_line_belongs_to_the_side_of_larger_indices():
    square = np.array([[1, 1], [1, 3], [3, 3], [3, 1]], dtype=float)
    mask = np.zeros((5, 5), bool)
    mask[1:3, 1:3] = True
    for points in (square, square[::-1], np.roll(square, 1, axis=0), square + 1e-9, square - 1e-9):
        np.testing.assert_array_equal(filled([points], (5, 5)), mask)


@given(st.integers(0, 2**32 - 1))
def test_polygons_that_share_a_line_share_no_pixel(seed):
    rng = np.random.default_rng(seed)
    centre, corners = rng.integers(2, 8, 2), np.array([[0, 0], [0, 9], [9, 9], [9, 0]])
    triangles = [
        np.array([centre, one, other]) for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ]
    counts = sum(filled([triangle.astype(float)], (10, 10)).astype(int) for triangle in triangles)
    assert counts[:9, :9].min() == counts.max() == 1


@given(st.lists(st.tuples(st.floats(-3, 15), st.floats(-3, 15)), min_size=3, max_size=9))
def test_polygons_that_cross_themselves_are_filled_as_scikit_image_does(points):
    polygon = np.array(points) + 1 / 3  # so that no centre lies on a line by design
    ours, theirs = filled([polygon], (12, 11)), grid_points_in_poly((12, 11), polygon)
    for i, j in np.argwhere(ours != theirs):
        assert distance_to_lines(polygon - (i, j), (1, 1)) < 1e-5


def test_one_inside_another_is_a_hole():
    ring = filled(
        [np.array([[0, 0], [0, 9], [9, 9], [9, 0]]) - 0.5, np.array([[3, 3], [3, 6], [6, 6], [6, 3]]) - 0.5], (9, 9)
    )
    assert ring.sum() == 81 - 9


def test_what_lies_outside_is_cut_off():
    mask = filled([np.array([[-1e9, -50.0], [-1e9, 50], [2.5, 50], [2.5, -50]])], (6, 4))
    assert mask[:3].all()
    assert not mask[3:].any()
    assert filled_part([np.array([[20.0, 20], [20, 30], [30, 30]])], (6, 4))[2].size == 0
    assert not filled([np.array([[20.0, 20], [20, 30], [30, 30]])], (6, 4)).any()


@pytest.mark.parametrize("polygons", [[], [np.empty((0, 2))], [np.array([[1.0, 1]])], [np.array([[0.0, 0], [3, 3]])]])
def test_what_has_no_area_fills_nothing(polygons):
    assert not filled(polygons, (4, 4)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_point_that_is_nowhere_is_refused(value):
    with pytest.raises(GeometryError, match="a point that is not finite"):
        filled([np.array([[0, 0], [1, value], [2, 2]])], (4, 4))


def test_work_in_parts_gives_the_same(monkeypatch):
    mask = noise((40, 30), 0.6)
    monkeypatch.setattr(contours, "_CROSSINGS_AT_ONCE", 7)
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


def test_hundreds_of_holes_are_one_polygon_of_little_more_than_its_lines():
    mask = np.ones((512, 512), bool)
    places = np.random.default_rng(0).integers(1, 255, (2, 800)) * 2
    mask[tuple(places)] = False
    (polygon,) = outlines(mask)
    assert len(polygon) <= 8 + 8 * 800
    np.testing.assert_array_equal(filled([polygon], mask.shape), mask)
