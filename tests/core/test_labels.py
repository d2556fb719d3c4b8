from __future__ import annotations

import numpy as np
import pytest
from factories import scheme

from medseg.core.errors import LabelError
from medseg.core.geometry import Geometry
from medseg.core.labels import IGNORE_INDEX, LabelScheme, Laterality, Region, Structure, palette_colour
from medseg.core.volume import LabelMap, MultiLabelMap


def line(*values: int) -> LabelMap:
    return LabelMap(np.array(values, dtype=np.int16).reshape(-1, 1, 1), Geometry.from_spacing((len(values), 1, 1)))


def test_background_is_no_structure():
    assert LabelScheme.from_names({"background": 0, "liver": 6}).names == ("liver",)


def test_values_become_class_indices_and_come_back():
    spaced = LabelScheme.from_names({"liver": 6, "spleen": 300})
    indices = spaced.class_indices(line(0, 6, 300, 6))
    assert indices.ravel().tolist() == [0, 1, 2, 1]
    assert spaced.from_class_indices(indices).ravel().tolist() == [0, 6, 300, 6]


def test_ignored_voxels_have_an_index_of_their_own():
    sparse = LabelScheme.from_names({"liver": 1}, ignore=9)
    assert sparse.class_indices(line(0, 9, 1)).ravel().tolist() == [0, IGNORE_INDEX, 1]


@pytest.mark.parametrize("value", [3, -1])
def test_a_value_that_is_not_in_the_scheme_is_refused(value):
    with pytest.raises(LabelError, match=rf"label values \[{value}\] are not in the scheme"):
        scheme().class_indices(line(0, value, 1))


@pytest.mark.parametrize(
    ("names", "sided"),
    [
        (("left kidney", "right kidney", "liver"), ["left kidney", "right kidney"]),
        (("kidney_left", "Kidney_Right"), ["kidney_left", "Kidney_Right"]),
        (("lung L", "lung-r"), ["lung L", "lung-r"]),
        (("brightness", "leftover", "liver"), []),
        (("left kidney", "liver"), ["left kidney"]),
        (("LeftKidney", "kidneys"), ["LeftKidney"]),
        (("EyeR", "lens"), ["EyeR"]),
        (("lt femur", "L1", "rib"), ["lt femur"]),
        (("ctx-lh-precentral", "rh.cortex", "brainstem"), ["ctx-lh-precentral", "rh.cortex"]),
        (("leftkidney", "kidneyright", "cleft", "bright spots"), ["leftkidney", "kidneyright"]),
        (("LFoot", "hand"), ["LFoot"]),
        (("lkidney", "rkidney", "lung", "liver"), ["lkidney", "rkidney"]),
        (("footl", "footr", "heel"), ["footl", "footr"]),
    ],
)
def test_left_and_right_are_found_by_name(names, sided):
    assert list(scheme(*names).one_sided()) == sided


def test_a_region_may_have_the_name_of_a_structure():
    structures = LabelScheme.from_names({"liver": 1, "tumour": 2}).structures
    overlapping = LabelScheme(structures, (Region("liver", ("liver", "tumour")),), overlapping=True)
    masks = np.zeros((2, 4, 1, 1), np.bool_)
    masks[0, :2], masks[1, 2:3] = True, True
    reference = MultiLabelMap(masks, Geometry.from_spacing((4, 1, 1)), ("liver", "tumour"))
    assert overlapping.mask(reference, "liver").ravel().tolist() == [True, True, True, False]
    predicted = MultiLabelMap(masks[:1], Geometry.from_spacing((4, 1, 1)), ("liver",))
    assert overlapping.mask(predicted, "liver").ravel().tolist() == [True, True, False, False]


def test_left_and_right_are_found_by_laterality():
    colour = (1, 2, 3)
    lesion, both = Structure("lesion", 1, colour, laterality=Laterality.LEFT), Structure("lungs", 2, colour)
    kidneys = Structure("kidneys", 3, colour, laterality=Laterality.BOTH)
    assert LabelScheme((lesion, both, kidneys)).one_sided() == ("lesion",)


def test_a_region_is_the_union_of_its_structures():
    tumour = LabelScheme(
        (Structure("oedema", 1, (1, 1, 1)), Structure("core", 2, (2, 2, 2))),
        regions=(Region("whole", ("oedema", "core")), Region("core only", ("core",))),
    )
    assert tumour.targets == ("whole", "core only")
    assert not tumour.is_exclusive
    assert tumour.mask(line(0, 1, 2), "whole").ravel().tolist() == [False, True, True]
    masks = MultiLabelMap(
        np.array([[0, 1], [1, 0]], bool).reshape(2, 2, 1, 1), Geometry.from_spacing((2, 1, 1)), tumour.names
    )
    assert tumour.mask(masks, "whole").ravel().tolist() == [True, True]
    assert tumour.mask(masks, "core").ravel().tolist() == [True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelScheme(()), "at least one structure"),
        (lambda: LabelScheme((Structure("a", 1, (0, 0, 0)), Structure("a", 2, (0, 0, 0)))), "must differ"),
        (lambda: LabelScheme((Structure("a", 1, (0, 0, 0)), Structure("b", 1, (0, 0, 0)))), "must differ"),
        (lambda: LabelScheme((Structure("a", -1, (0, 0, 0)),)), "must be positive"),
        (lambda: LabelScheme.from_names({"a": 1}, ignore=1), "ignore value 1"),
        (lambda: LabelScheme.from_names({"a": 1}, ignore=-1), "the ignore value must be positive, got -1"),
        (lambda: LabelScheme.from_names({"a": 65_536}), "label values go up to 65535, got 65536; renumber"),
        (lambda: LabelScheme.from_names({"a": 1}, ignore=70_000), "label values go up to 65535, got 70000"),
        (lambda: LabelScheme((Structure("a", 1, (0, 0, 0)),), (Region("r", ("b",)),)), "names unknown structures"),
        (lambda: LabelScheme.from_names({str(n): n for n in range(1, 300)}), "at most 254 structures"),
    ],
)
def test_a_broken_scheme_is_refused(make, message):
    with pytest.raises(LabelError, match=message):
        make()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(LabelError, match="no structure 'heart'; the scheme has one, two"):
        scheme()["heart"]


def test_the_first_hundred_colours_differ():
    assert len({palette_colour(index) for index in range(100)}) == 100


def test_the_sides_that_count_are_those_of_what_is_learned():
    structures = tuple(Structure(f"label {n}", n, (n, n, n)) for n in (1, 2))
    sided = (Region("left lung", ("label 1",)), Region("right lung", ("label 2",)))
    assert LabelScheme(structures, sided).one_sided() == ("left lung", "right lung")
    kidneys = LabelScheme.from_names({"left kidney": 1, "right kidney": 2}).structures
    assert LabelScheme(kidneys, (Region("kidneys", ("left kidney", "right kidney")),)).one_sided() == ()


@pytest.mark.parametrize(("value", "dtype"), [(255, np.uint8), (256, np.uint16), (65_535, np.uint16)])
def test_values_of_any_size_find_a_type(value, dtype):
    values = LabelScheme.from_names({"tract": value}).from_class_indices(np.array([0, 1], np.uint8))
    assert values.dtype == dtype
    assert values.tolist() == [0, value]


def test_some_of_the_targets_keep_values_and_order():
    whole = LabelScheme.from_names({"liver": 5, "spleen": 2, "aorta": 300}, ignore=9)
    some = whole.only(("aorta", "liver"))
    assert some.targets == ("liver", "aorta")
    assert some.values == (5, 300)
    assert some.ignore == 9
    assert some["aorta"] == whole["aorta"]
    assert whole.only(()) is whole


def test_some_of_the_regions_keep_their_structures():
    structures = LabelScheme.from_names({"core": 1, "rim": 2}).structures
    whole = LabelScheme(structures, (Region("all", ("core", "rim")), Region("inner", ("core",))))
    some = whole.only(("all",))
    assert some.targets == ("all",)
    assert some.names == ("core", "rim")
    with pytest.raises(LabelError, match="no structure 'core'; there are 'all', 'inner'"):
        whole.only(("core",))
