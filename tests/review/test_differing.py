"""Parts found in runs are those that scipy finds voxel by voxel."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from factories import ball
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from medseg.core.errors import LabelError
from medseg.review import differing
from medseg.review.differing import Part, differing_runs, largest_parts

AXES = np.diag([0.7, 1.1, 2.5])
VALUES = arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 2))


def parts_of(one, other, most=1000, fewest=1, **options) -> list[Part]:
    runs = differing_runs(one, other, **options)
    return list(largest_parts(runs.chosen(runs.one == 1), AXES, most, fewest))


def scipys_parts(mask):
    """Size, indices and centroid of each component, by scipy."""
    labelled, number = ndimage.label(mask, np.ones((3, 3, 3)))
    for component in range(1, number + 1):
        voxels = np.argwhere(labelled == component)
        yield {tuple(voxel) for voxel in voxels.tolist()}, voxels.mean(axis=0)


@given(st.data())
def test_parts_are_those_of_scipy_and_their_voxel_is_the_nearest_to_the_centroid(data):
    one = data.draw(VALUES)
    other = data.draw(arrays(np.uint8, one.shape, elements=st.integers(0, 2)))
    found = parts_of(one, other)
    expected = list(scipys_parts((one == 1) & (other != 1)))
    assert sorted(part.voxels for part in found) == sorted(len(voxels) for voxels, _ in expected)
    assert [part.voxels for part in found] == sorted((part.voxels for part in found), reverse=True)
    for part in found:
        ((voxels, centroid),) = [item for item in expected if part.voxel in item[0]]
        distances = {voxel: np.linalg.norm(AXES @ (np.array(voxel) - centroid)) for voxel in voxels}
        assert len(voxels) == part.voxels
        assert distances[part.voxel] == pytest.approx(min(distances.values()))


@given(VALUES, st.sampled_from(["CF", "FC", "FF"]))
def test_memory_order_changes_no_part(one, orders):
    other = np.zeros_like(one)
    laid = [np.asarray(array, order=order) for array, order in zip((one, other), orders, strict=True)]
    found = parts_of(*laid)
    assert [part.voxels for part in found] == [part.voxels for part in parts_of(one, other)]
    assert all(one[part.voxel] == 1 for part in found)


def test_the_end_of_a_row_does_not_touch_the_beginning_of_the_next():
    one = np.zeros((3, 4, 5), np.uint8)
    one[0, 1, 4] = one[0, 2, 0] = 1  # row after row
    one[0, 3, 2] = one[1, 0, 2] = 1  # plane after plane
    one[2, 2, 0] = one[2, 3, 1] = 1  # these two do touch, over an edge
    assert [(part.voxels, part.voxel) for part in parts_of(one, np.zeros_like(one))] == [
        (2, (2, 2, 0)),
        (1, (0, 1, 4)),
        (1, (0, 2, 0)),
        (1, (0, 3, 2)),
        (1, (1, 0, 2)),
    ]


def test_a_part_goes_on_where_the_other_side_changes_its_value():
    one, other = np.ones((2, 1, 1, 6), np.uint8)
    other[0, 0] = [0, 2, 2, 3, 1, 0]
    assert [part.voxels for part in parts_of(one, other)] == [4, 1]


def test_voxels_without_opinion_do_not_differ():
    one, other = np.array([[[[1, 1, 1, 9, 1]]], [[[0, 9, 0, 0, 0]]]], np.uint8)
    assert [part.voxels for part in parts_of(one, other)] == [3, 1]
    assert [part.voxels for part in parts_of(one, other, ignore=9)] == [1, 1, 1]


def test_small_parts_are_left_out_and_the_voxel_is_in_the_whole_grid():
    one = np.zeros((9, 9, 9), np.uint8)
    one[1:4, 1:4, 1:4] = 1
    one[6, 6, 6] = 1
    assert parts_of(one, np.zeros_like(one), fewest=2, corner=(10, 20, 30)) == [Part(27, (12, 22, 32))]
    assert parts_of(one, np.zeros_like(one), fewest=28) == []
    assert parts_of(one, one) == []
    assert [part.voxels for part in parts_of(one, np.zeros_like(one), most=1)] == [27]


def test_the_voxel_of_a_shell_lies_in_the_shell():
    outer, inner = ball(radius=12.0), ball(radius=10.0)
    (part,) = parts_of((outer & ~inner).astype(np.uint8), np.zeros(outer.shape, np.uint8))
    assert part.voxels == np.count_nonzero(outer & ~inner)
    assert (outer & ~inner)[part.voxel]


def test_noise_is_refused_before_it_takes_the_memory(monkeypatch):
    one = np.zeros((16, 16, 16), np.uint8)
    one[:, :, ::2] = 1
    assert parts_of(one, np.zeros_like(one)) != []
    monkeypatch.setattr(differing, "_FEWEST_ALLOWED", 1)
    with pytest.raises(LabelError, match="differ in more places than outlines can; one of them may be noise"):
        differing_runs(one, np.zeros_like(one))


def test_memory_goes_with_the_outlines_and_not_with_the_voxels():
    one, other = np.zeros((2, 160, 160, 160), np.uint8)
    one[:64, :64, :64] = ball((64, 64, 64), (31.5,) * 3, 25.0)
    other[:64, :64, :64] = ball((64, 64, 64), (31.5,) * 3, 24.0)
    tracemalloc.start()
    (part,) = parts_of(one, other)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part.voxels == np.count_nonzero(one != other)
    assert peak < one.size  # a label image by scipy would be four bytes a voxel, and masks beside it
