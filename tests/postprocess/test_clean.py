import numpy as np
import pytest
from factories import geometry, scheme

from medseg.config.sections import PostprocessingSection
from medseg.core.errors import LabelError
from medseg.core.labels import LabelScheme, Region, Structure
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.postprocess.clean import clean, steps_in_words

BOTH = PostprocessingSection(largest_component=("liver",), fill_holes=("liver",))
LIVER_AND_TUMOUR = LabelScheme.from_names({"liver": 5, "tumour": 7})


def liver_with_tumour_and_satellite():
    values = np.zeros((9, 9, 9), np.uint8)
    values[1:7, 1:7, 1:7] = 5
    values[3, 3, 3] = 7
    values[5, 5, 5] = 0
    values[8, 8, 8] = 5
    return LabelMap(values, geometry((9, 9, 9)))


def test_satellite_goes_hole_is_filled_tumour_stays():
    before = liver_with_tumour_and_satellite()
    after = clean(before, BOTH, LIVER_AND_TUMOUR)
    assert isinstance(after, LabelMap)
    assert after.array[8, 8, 8] == 0
    assert after.array[5, 5, 5] == 5
    assert after.array[3, 3, 3] == 7
    assert after.array.dtype == before.array.dtype
    assert np.count_nonzero(after.array != before.array) == 2


def test_structures_that_are_not_named_stay():
    before = liver_with_tumour_and_satellite()
    after = clean(before, PostprocessingSection(largest_component=("tumour",)), LIVER_AND_TUMOUR)
    assert np.array_equal(after.array, before.array)


def test_nothing_to_do_gives_the_same_object():
    before = liver_with_tumour_and_satellite()
    assert clean(before, PostprocessingSection(), LIVER_AND_TUMOUR) is before


def test_overlapping_masks_are_cleaned_by_themselves():
    masks = np.zeros((2, 5, 5, 5), bool)
    masks[:, 0, 0, 0] = masks[:, 3:, 3:, 3:] = True
    regions = LabelScheme(
        (Structure("core", 1, (1, 1, 1)), Structure("edema", 2, (2, 2, 2))),
        (Region("whole", ("core", "edema")), Region("inner", ("core",))),
    )
    before = MultiLabelMap(masks, geometry((5, 5, 5)), ("whole", "inner"))
    after = clean(before, PostprocessingSection(largest_component=("inner",)), regions)
    assert isinstance(after, MultiLabelMap)
    assert after.array[0].sum() == 9
    assert after.array[1].sum() == 8


def test_unknown_structure_is_refused():
    section = PostprocessingSection(fill_holes=("heart",))
    with pytest.raises(LabelError, match=r"postprocessing names \['heart'\]; the scheme has one, two"):
        clean(liver_with_tumour_and_satellite(), section, scheme())


def test_steps_are_told_with_their_structures():
    section = PostprocessingSection(fill_holes=("liver", "tumour"))
    assert steps_in_words(section) == ["fill holes of liver, tumour"]
    assert steps_in_words(PostprocessingSection()) == []
