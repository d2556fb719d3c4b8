from __future__ import annotations

import numpy as np
import pytest
from factories import geometry, label_map, volume

from medseg.core.errors import GeometryError
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.inference.region import embedded, in_region
from medseg.inference.restore import Prediction

GRID = geometry((9, 8, 7), codes="LPI", oblique_degrees=20)
BOX = (slice(2, 6), slice(0, 3), slice(5, 7))


def prediction(shape, **changes) -> Prediction:
    grid = in_region(volume(GRID), BOX).geometry
    rng = np.random.default_rng(0)
    maps = {"probabilities": rng.random((2, *shape)).astype(np.float16), "entropy": rng.random(shape, np.float32)}
    known = maps | {"labels": label_map(grid), "agreement": {"one": 0.5}, "notes": ("odd",)}
    return Prediction(**(known | changes))


def test_a_region_lies_where_it_lay():
    part = in_region(volume(GRID), BOX)
    assert np.array_equal(part.array, volume(GRID).array[:, 2:6, 0:3, 5:7])
    assert np.shares_memory(part.array, in_region(part, (slice(0, 4), slice(0, 3), slice(0, 2))).array)
    assert np.allclose(part.geometry.affine @ [0, 0, 0, 1], GRID.affine @ [2, 0, 5, 1])


def test_what_was_found_there_lies_on_the_whole_grid():
    part = prediction((4, 3, 2))
    whole = embedded(part, BOX, GRID)
    assert isinstance(whole.labels, LabelMap)
    assert whole.labels.geometry.is_close(GRID)
    assert np.array_equal(whole.labels.array[BOX], part.labels.array)
    assert np.count_nonzero(whole.labels.array) == np.count_nonzero(part.labels.array) > 0
    assert np.array_equal(whole.probabilities[(slice(None), *BOX)], part.probabilities)
    assert whole.probabilities.sum(dtype=np.float64) == part.probabilities.sum(dtype=np.float64)
    assert whole.entropy.sum(dtype=np.float64) == part.entropy.sum(dtype=np.float64)
    assert (whole.agreement, whole.notes) == (part.agreement, part.notes)
    assert whole.labels.array.dtype == part.labels.array.dtype


def test_masks_and_missing_maps():
    grid = in_region(volume(GRID), BOX).geometry
    masks = MultiLabelMap(np.ones((2, 4, 3, 2), np.bool_), grid, ("a", "b"))
    whole = embedded(prediction((4, 3, 2), labels=masks, probabilities=None, entropy=None), BOX, GRID)
    assert whole.labels.structures == ("a", "b")
    assert whole.labels.array.sum() == 2 * 4 * 3 * 2
    assert (whole.probabilities, whole.entropy) == (None, None)


def test_the_whole_grid_is_a_region_too():
    everywhere = tuple(slice(0, n) for n in GRID.shape)
    whole = Prediction(label_map(GRID))
    assert embedded(whole, everywhere, GRID) is whole


@pytest.mark.parametrize(
    "box",
    [
        (slice(2, 2), slice(0, 3), slice(5, 7)),
        (slice(-1, 3), slice(0, 3), slice(5, 7)),
        (slice(0, 10), slice(0, 3), slice(5, 7)),
    ],
)
def test_a_region_beyond_the_grid_is_refused(box):
    with pytest.raises(GeometryError, match=r"a region of voxels .* does not lie in a grid of \(9, 8, 7\)"):
        in_region(volume(GRID), box)


def test_a_prediction_of_another_size_is_refused():
    with pytest.raises(GeometryError, match=r"of \(9, 8, 7\) voxels does not fit a box of \(4, 3, 2\)"):
        embedded(Prediction(label_map(GRID)), BOX, GRID)
