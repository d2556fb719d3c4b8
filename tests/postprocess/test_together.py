"""The largest component of structures taken together."""

from __future__ import annotations

import numpy as np
import pytest
from factories import geometry

from medseg.config.sections import PostprocessingSection
from medseg.core.errors import LabelError
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.postprocess.clean import clean, steps_in_words

SCHEME = LabelScheme.from_names({"one": 1, "two": 2, "three": 3})
GRID = geometry((12, 6, 6))


def labels():
    """One and two side by side, a smaller part of both elsewhere, and three alone."""
    array = np.zeros(GRID.shape, np.uint8)
    array[0:2, :3], array[2:5, :3] = 1, 2
    array[7, :2], array[8, :2] = 1, 2
    array[10:, 4:] = 3
    return array


def test_a_group_keeps_its_largest_part():
    section = PostprocessingSection(largest_together=(("one", "two"),))
    found = clean(LabelMap(labels(), GRID), section, SCHEME).array
    wanted = labels()
    wanted[7:9] = 0
    assert np.array_equal(found, wanted)


def test_group_after_group_and_then_each():
    section = PostprocessingSection(largest_together=(("one", "two", "three"),), largest_component=("two",))
    found = clean(LabelMap(labels(), GRID), section, SCHEME).array
    assert set(np.unique(found)) == {0, 1, 2}
    assert steps_in_words(section) == [
        "largest component of one, two, three together",
        "largest component of two",
    ]


def test_masks_lose_what_the_group_loses():
    array = np.stack([labels() > 0, labels() == 2, labels() == 3])
    masks = MultiLabelMap(array, GRID, ("one", "two", "three"))
    found = clean(masks, PostprocessingSection(largest_together=(("two",),)), SCHEME)
    assert not found.array[:2, 8].any()
    assert np.array_equal(found.array[0, :8], array[0, :8])
    assert np.array_equal(found.array[2], array[2])


def test_a_structure_that_overlaps_the_group_keeps_its_voxels():
    array = np.stack([labels() == 1, labels() == 2, labels() > 0])
    masks = MultiLabelMap(array, GRID, ("one", "two", "three"))
    overlapping = LabelScheme(SCHEME.structures, overlapping=True)
    found = clean(masks, PostprocessingSection(largest_together=(("one", "two"),)), overlapping)
    assert not found.array[:2, 7:9].any()
    assert np.array_equal(found.array[2], array[2])


def test_a_group_of_what_is_not_there():
    with pytest.raises(LabelError, match=r"postprocessing names \['four'\]"):
        clean(LabelMap(labels(), GRID), PostprocessingSection(largest_together=(("one", "four"),)), SCHEME)
