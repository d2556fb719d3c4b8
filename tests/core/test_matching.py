"""Labels that go by names, brought to a scheme."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.core.errors import LabelError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.matching import matched, painted, relabelled
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap

GRID = Geometry.from_spacing((6, 1, 1))


def scheme(*names: str, overlapping=False, ignore=None, background=()) -> LabelScheme:
    named = LabelScheme.from_names({name: 10 * value for value, name in enumerate(names, start=1)})
    return LabelScheme(named.structures, ignore=ignore, overlapping=overlapping, background=background)


def mask(*indices: int) -> np.ndarray:
    found = np.zeros(GRID.shape, bool)
    found[list(indices)] = True
    return found


def line(*values: int) -> LabelMap:
    return LabelMap(np.array(values, np.uint16).reshape(-1, 1, 1), GRID)


def test_names_match_in_other_spellings_and_by_synonym():
    names = {"Kidney_L": "left kidney", "Bladder": "urinary bladder", "thing-1": "Thing 1", "GTV": "GTV"}
    assert matched(names, scheme(*names.values())) == names


def test_the_very_name_goes_before_a_spelling():
    assert matched(["Bladder", "bladder"], scheme("Bladder", "bladder")) == {"Bladder": "Bladder", "bladder": "bladder"}


def test_a_spelling_of_two_structures_is_neither():
    with pytest.raises(LabelError, match="'BLADDER' is no structure of the scheme"):
        matched(["BLADDER"], scheme("Bladder", "bladder"))


@pytest.mark.parametrize("names", [("bladder", "Urinary_Bladder"), ("Urinary_Bladder", "bladder")])
def test_two_names_of_one_structure_are_refused(names):
    with pytest.raises(LabelError, match="'bladder' and 'Urinary_Bladder' both stand for the structure 'bladder'"):
        matched(names, scheme("bladder"))


def test_two_spellings_of_one_structure_are_refused():
    with pytest.raises(LabelError, match="'BLADDER' and 'Bladder' both stand for the structure 'bladder'"):
        matched(["BLADDER", "Bladder"], scheme("bladder"))


def test_a_name_that_nobody_knows_is_an_error_that_says_what_to_do():
    with pytest.raises(LabelError, match=r"'GTV' is no structure of the scheme \(liver\); .* \(\"\*\": 0 for all\)"):
        matched(["liver", "GTV"], scheme("liver"))
    with pytest.raises(LabelError, match="'0', '1', '2', '3', '4', … are no structure"):
        matched([str(number) for number in range(6)], scheme("liver"))


@pytest.mark.parametrize("background", [("BODY", "table"), ("body", "Table"), ("*",)])
def test_what_is_background_is_left_out(background):
    names = ["liver", "BODY", "table"]
    assert matched(names, scheme("liver", background=background)) == {"liver": "liver"}


def test_a_label_map_gets_the_schemes_values():
    source = Segmentation(line(0, 1, 2, 3, 9, 7), LabelScheme.from_names({"Liver": 1, "GTV": 2, "x": 3}, ignore=9))
    target = scheme("spleen", "liver", "gtv", ignore=5, background=("x",))
    assert relabelled(source, target).array.ravel().tolist() == [0, 20, 30, 0, 5, 0]
    target = scheme("spleen", "liver", "gtv", background=("x",))
    assert relabelled(source, target).array.ravel().tolist() == [0, 20, 30, 0, 0, 0]


def test_values_above_a_byte():
    source = Segmentation(line(0, 1, 2, 0, 0, 0), LabelScheme.from_names({"a": 1, "b": 2}))
    found = relabelled(source, LabelScheme.from_names({"a": 300, "b": 1}))
    assert found.array.ravel().tolist() == [0, 300, 1, 0, 0, 0]


def test_masks_stay_masks_where_structures_overlap():
    names = ("a", "b")
    array = np.stack([mask(0, 1), mask(1, 2)])
    source = Segmentation(MultiLabelMap(array, GRID, names), scheme(*names, overlapping=True))
    found = relabelled(source, scheme("b", "c", "a", overlapping=True))
    assert found.structures == ("b", "c", "a")
    assert np.array_equal(found.array, np.stack([mask(1, 2), mask(), mask(0, 1)]))
    only_b = scheme("b", overlapping=True, background=("a",))
    assert np.array_equal(relabelled(Segmentation(line(0, 10, 20, 0, 0, 0), scheme(*names)), only_b).array[0], mask(2))


def test_the_smaller_lies_over_the_larger():
    array = np.stack([mask(1, 2), mask(0, 1, 2, 3), mask(3, 4)])
    source = Segmentation(MultiLabelMap(array, GRID, ("a", "b", "c")), scheme("a", "b", "c", overlapping=True))
    assert relabelled(source, scheme("a", "b", "c")).array.ravel().tolist() == [20, 10, 10, 30, 30, 0]


def test_masks_of_one_structure_are_united():
    masks = [("a", mask(0, 1)), ("b", mask(0, 1, 2)), ("a", mask(3))]
    assert painted(masks, scheme("a", "b"), GRID).array.ravel().tolist() == [10, 10, 20, 10, 0, 0]
    united = painted(masks, scheme("a", "b", overlapping=True), GRID)
    assert np.array_equal(united.array, np.stack([mask(0, 1, 3), mask(0, 1, 2)]))


def test_nothing_painted_is_an_empty_label_map_wide_enough():
    empty = painted([], LabelScheme.from_names({"a": 300}), GRID)
    assert empty.array.dtype == np.uint16
    assert not empty.array.any()
