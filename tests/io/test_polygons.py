"""Outlines and run lengths of 2D data sets, beside pycocotools and Pillow's drawing."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from medseg.core.errors import ReadError
from medseg.io.polygons import draw_segmentation, drawn_polygons, polygon_labels, polygons_size


def drawn(segmentation: object, size=(6, 8)) -> np.ndarray:
    mask = np.zeros(size, bool)
    draw_segmentation(segmentation, mask)
    return mask


def random_mask(rng: np.random.Generator) -> np.ndarray:
    return rng.random(rng.integers(1, 40, 2)) > rng.random()


def star(rng: np.random.Generator, size) -> np.ndarray:
    """Corners of a polygon around a random middle, shape ``(n, 2)``."""
    count = int(rng.integers(3, 60))
    angle = np.sort(rng.random(count)) * 2 * np.pi
    radius = rng.random(count) * 20 + rng.integers(5, 40)
    return rng.random(2) * size[::-1] + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def distance(point: np.ndarray, polygon: np.ndarray) -> float:
    """From a point to the line of a polygon."""
    step = np.roll(polygon, -1, axis=0) - polygon
    along = ((point - polygon) * step).sum(axis=1) / np.maximum((step**2).sum(axis=1), 1e-12)
    return float(np.hypot(*(polygon + np.clip(along, 0, 1)[:, None] * step - point).T).min())


@pytest.mark.parametrize("seed", range(60))
def test_run_lengths_are_read_as_pycocotools_writes_them(seed):
    mask = random_mask(np.random.default_rng(seed))
    height, width = mask.shape
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert np.array_equal(drawn({"size": [height, width], "counts": packed}, mask.shape), mask)
    flat = np.concatenate([[0], mask.T.ravel(), [2]]).astype(int)
    ends = np.flatnonzero(np.diff(flat[:-1]))
    counts = np.diff(np.concatenate([[0], ends, [mask.size]])).tolist()
    assert np.array_equal(drawn({"size": [height, width], "counts": counts}, mask.shape), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_polygons_differ_from_pycocotools_only_at_centres_near_the_line():
    rng, size = np.random.default_rng(0), (120, 150)
    pixels = 0
    for number in range(80):
        corners = star(rng, size) if number % 2 else star(rng, size).round()
        flat = corners.ravel().tolist()
        mask, other = drawn([flat], size), coco.decode(coco.frPyObjects([flat], *size))[..., 0] > 0
        pixels += int(mask.sum())
        assert all(distance(place[::-1] + 0.5, corners) < 0.2 for place in np.argwhere(mask != other))
    assert pixels > 100_000


def test_a_rectangle_of_whole_pixels():
    mask = drawn([[2, 1, 5, 1, 5, 4, 2, 4]])
    assert np.argwhere(mask).min(axis=0).tolist() == [1, 2]
    assert mask.sum() == 9
    assert mask[1:4, 2:5].all()


def test_polygons_are_united_and_cut_at_the_picture():
    both = [[-5, -5, 3, -5, 3, 3, -5, 3], [1, 1, 20, 1, 20, 20, 1, 20]]
    mask = drawn(both)
    assert mask[:3, :3].all()
    assert mask[1:, 1:].all()
    assert not mask[0, 3:].any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "a segmentation is neither a list of polygons nor run lengths"),
        ("x", "a segmentation is neither"),
        ([[0, 0, 1, 1]], "no list of coordinates of at least 3 points"),
        ([[0, 0, 1, 1, 2]], "no list of coordinates"),
        ([0, 0, 1, 1, 2, 2], "no list of coordinates"),
        ([[0, 0, 1, "1", 2, 2]], "something that is no number"),
        ([[0, 0, 1, float("nan"), 2, 2]], "leaves its image by far"),
        ([[0, 0, 1, float("inf"), 2, 2]], "leaves its image by far"),
        ([[0, 0, 1, 10**400, 2, 2]], "leaves its image by far"),
        ({}, r"run lengths are of size None, the image of \[6, 8\]"),
        ({"size": [8, 6], "counts": [48]}, r"run lengths are of size \[8, 6\]"),
        ({"size": [6, 8]}, "run lengths are no list of numbers"),
        ({"size": [6, 8], "counts": [47]}, "do not add up to the 6x8 pixels"),
        ({"size": [6, 8], "counts": [50, -2]}, "do not add up"),
        ({"size": [6, 8], "counts": [48.0]}, "something that is no number of pixels"),
        ({"size": [6, 8], "counts": [10**30]}, "something that is no number of pixels"),
        ({"size": [6, 8], "counts": "\n"}, "run lengths are damaged"),
        ({"size": [6, 8], "counts": "é"}, "run lengths are damaged"),
        ({"size": [6, 8], "counts": "o" * 20}, "run lengths are damaged"),
        ({"size": [6, 8], "counts": "P"}, "run lengths are truncated"),
    ],
)
def test_damaged_outlines_are_refused(segmentation, message):
    with pytest.raises(ReadError, match=message):
        drawn(segmentation)


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=12))
def test_whatever_an_outline_is_it_is_drawn_or_refused(segmentation):
    for outline in (segmentation, [segmentation], {"size": [6, 8], "counts": segmentation}):
        with contextlib.suppress(ReadError):
            assert drawn(outline).shape == (6, 8)


def city(*objects: dict, **changes) -> dict:
    return json.loads(json.dumps({"imgHeight": 6, "imgWidth": 8, "objects": list(objects)} | changes))


def test_cityscapes_polygons_hold_the_pixels_under_their_line():
    document = city({"label": "pole", "polygon": [[2, 1], [4, 1], [4, 4], [2, 4]]})
    assert polygons_size(document) == (6, 8)
    assert polygon_labels(document) == ["pole"]
    (mask,) = drawn_polygons(document)
    assert mask.sum() == 12
    assert mask[1:5, 2:5].all()


def test_deleted_objects_are_left_out():
    square = [[0, 0], [1, 0], [1, 1]]
    document = city({"label": "a", "polygon": square, "deleted": 1}, {"label": "b", "polygon": square, "deleted": 0})
    assert polygon_labels(document) == ["b"]
    assert len(list(drawn_polygons(document))) == 1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "holds no imgHeight, imgWidth and objects"),
        (city(imgHeight="6"), "holds no imgHeight"),
        (city(objects={}), "holds no imgHeight"),
        (city(imgHeight=0), "says its image has 0x8 pixels"),
        (city(imgHeight=10**9, imgWidth=10**9), "says its image has 1000000000x1000000000 pixels"),
        (city({"polygon": []}), "an object has no label"),
        (city({"label": 3, "polygon": []}), "an object's label is no text"),
        (city({"label": "a"}), r"an object's polygon is no list of points \[x, y\]"),
        (city({"label": "a", "polygon": [[0, 0], [1]]}), "an object's polygon is no list of points"),
        (city({"label": "a", "polygon": [[0, 0]]}), "no list of coordinates of at least 2 points"),
        (city({"label": "a", "polygon": [[0, 0], [1e30, 1]]}), "leaves its image by far"),
    ],
)
def test_damaged_cityscapes_files_are_refused(document, message):
    with pytest.raises(ReadError, match=message):
        _ = polygons_size(document), polygon_labels(document), list(drawn_polygons(document))
