"""Clean-up is chosen where it helps on validation cases, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories import bundle, prepared_arrays, scheme

from medseg.config.sections import PostprocessingSection
from medseg.core.case import Case, CaseId
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.training.finish import (
    Pair,
    choose_postprocessing,
    expected_structures,
    predicted_pairs,
    validation_scores,
    with_postprocessing,
)

GRID = Geometry.from_spacing((12, 12, 12))
NOTHING = PostprocessingSection()


def pair(predicted: np.ndarray, reference: np.ndarray, case="a") -> Pair:
    return Pair(CaseId(case), LabelMap(predicted, GRID), LabelMap(reference, GRID))


def cube(value=1, low=2, high=7) -> np.ndarray:
    array = np.zeros(GRID.shape, np.uint8)
    array[low:high, low:high, low:high] = value
    return array


def stray(value=1) -> np.ndarray:
    """A cube and a voxel far from it."""
    array = cube(value)
    array[10, 10, 10] = value
    return array


def hollow(value=1) -> np.ndarray:
    array = cube(value)
    array[4, 4, 4] = 0
    return array


@pytest.mark.parametrize(
    ("predicted", "reference", "chosen"),
    [
        (stray(), cube(), {"largest_component": ("one",)}),
        (stray(), stray(), {}),
        (hollow(), cube(), {"fill_holes": ("one",)}),
        (hollow(), hollow(), {}),
        (stray(2), cube(2), {"largest_component": ("two",)}),
        (cube(), cube(), {}),
        (cube(0), cube(0), {}),
    ],
)
def test_a_step_is_kept_if_it_helps(predicted, reference, chosen):
    pairs = [pair(predicted, reference)] * 3
    assert choose_postprocessing(pairs, scheme()) == PostprocessingSection(**chosen)


def test_two_cases_are_too_few_to_choose_by():
    assert choose_postprocessing([pair(stray(), cube())] * 2, scheme()) == NOTHING
    assert choose_postprocessing([], scheme()) == NOTHING


def test_what_helps_one_case_and_hurts_two_is_left_out():
    pairs = [pair(stray(), cube()), pair(stray(), stray()), pair(stray(), stray())]
    assert choose_postprocessing(pairs, scheme()) == NOTHING


def test_scores_are_after_the_clean_up():
    section = PostprocessingSection(largest_component=("one",))
    scores = validation_scores([pair(stray(), cube(), "c1")], section, scheme())
    assert [(score.case, score.structure) for score in scores] == [("c1", "one"), ("c1", "two")]
    assert scores[0].dice == 1
    assert np.isnan(scores[1].dice)


def test_cases_without_a_label_are_left_out_and_arrays_stay_on_disk(tmp_path):
    image = Volume(np.zeros((1, *GRID.shape), np.uint8), GRID)
    cases = [Case(CaseId("a"), image), Case(CaseId("b"), image, LabelMap(cube(), GRID))]
    pairs = predicted_pairs(lambda _: LabelMap(stray(), GRID), cases, tmp_path)
    assert [one.case for one in pairs] == ["b"]
    np.testing.assert_array_equal(pairs[0].predicted.array, stray())
    np.testing.assert_array_equal(pairs[0].reference.array, cube())
    assert isinstance(pairs[0].predicted.array, np.memmap)


def test_the_clean_up_goes_into_the_bundle():
    section = PostprocessingSection(fill_holes=("two",))
    assert with_postprocessing(bundle(), section).config.postprocessing == section


def test_structures_of_cases_that_are_labelled_in_part_are_not_measured():
    target = np.zeros((8, 8, 8), np.uint8)
    target[2:5, 2:5, 2:5] = 1
    whole = prepared_arrays(target, 1)
    partly = replace(whole, labelled=np.zeros((1, 3), np.int32))
    assert expected_structures([whole, partly], scheme("one"))["one"].cases == 1
    assert expected_structures([partly], scheme("one")) == {}
