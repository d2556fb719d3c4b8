import numpy as np
import pytest
from factories import geometry, label_map, scheme
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.metrics import boxes
from medseg.metrics.boxes import hull, structure_boxes, value_boxes

MAPS = hnp.arrays(
    st.sampled_from([np.uint8, np.int16, np.int64]),
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=7),
    elements=st.integers(0, 4),
)


@given(MAPS, st.sampled_from("CF"), st.integers(1, 40))
def test_boxes_equal_scipys(array, order, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "_CHUNK", chunk)  # a few planes at a time
        assert value_boxes(np.asarray(array, order=order), 3) == ndimage.find_objects(array, 3)


def test_a_view_that_is_turned_and_flipped():
    array = label_map(geometry((5, 6, 7)), (0, 0, 0, 1, 2)).array
    assert value_boxes(array.transpose(2, 0, 1)[::-1], 2) == ndimage.find_objects(array.transpose(2, 0, 1)[::-1], 2)


def test_runs_that_go_on_in_the_next_row_and_plane():
    array = np.zeros((3, 4, 5), np.uint8)
    array.reshape(-1)[8:11] = 1  # from the end of one row to the start of the next
    array.reshape(-1)[18:42] = 2  # over two planes' ends
    assert value_boxes(array, 2) == ndimage.find_objects(array)


def test_negative_values_and_those_beyond_are_passed_over():
    array = np.array([[[-3, 1, 900, 2]]])
    assert value_boxes(array, 2) == [(slice(0, 1), slice(0, 1), slice(1, 2)), (slice(0, 1), slice(0, 1), slice(3, 4))]


def test_structures_by_value_and_masks_by_name():
    array = np.zeros((4, 4, 4), np.uint8)
    array[1:3, 2, 0:2] = 2
    grid = geometry(array.shape)
    expected = {"two": (slice(1, 3), slice(2, 3), slice(0, 2))}
    assert structure_boxes(LabelMap(array, grid), scheme()) == expected
    masks = MultiLabelMap(np.stack([array == 1, array == 2]), grid, ("one", "two"))
    assert structure_boxes(masks, scheme()) == expected


def test_the_hull_ends_with_the_grid():
    one, other = (slice(0, 2), slice(3, 4), slice(1, 2)), (slice(4, 5), slice(3, 6), slice(1, 2))
    assert hull([one, other], (6, 6, 6)) == (slice(0, 6), slice(2, 6), slice(0, 3))
    assert hull([one], (6, 6, 6), margin=0) == one
