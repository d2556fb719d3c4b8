"""What tells an odd result from a usual one."""

from __future__ import annotations

import numpy as np
import pytest
from factories import ball, geometry, prepared_arrays, scheme

from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import LabelMap
from medseg.inference.expected import StructureFacts, measured, odd, structure_facts, volume_ml
from medseg.metrics.form import MaskForm, form_of
from medseg.training.finish import expected_structures

INSIDE = MaskForm(1000, 1, touches_border=False)


def facts(volumes=(90, 100, 110, 95, 105), parts=1, border=0.0, share=1.0) -> StructureFacts:
    forms = [MaskForm(1, parts, touches_border=False)] * len(volumes)
    return StructureFacts.of(volumes, forms, share).model_copy(update={"border_share": border})


def test_a_mask_is_measured():
    mask = np.zeros((6, 7, 8), bool)
    assert form_of(mask) == MaskForm(0, 0, touches_border=False)
    mask[2, 2, 2] = mask[3, 3, 3] = True  # they share a corner
    assert form_of(mask) == MaskForm(2, 1, touches_border=False)
    mask[5, 6, 5] = True
    assert form_of(mask) == MaskForm(3, 2, touches_border=True)


def test_the_only_plane_of_an_axis_is_no_border():
    mask = np.zeros((6, 7, 1), bool)
    mask[2:4, 2:4] = True
    assert not form_of(mask).touches_border


@pytest.mark.parametrize("ml", [40, 58, 170, 1000])
def test_a_volume_far_from_the_training_range_is_odd(ml):
    (reason,) = odd(INSIDE, ml, facts())
    assert reason == f"volume {ml} mL, 90 to 110 in training"


@pytest.mark.parametrize("ml", [62, 100, 160])
def test_a_volume_near_the_training_range_is_not(ml):
    assert odd(INSIDE, ml, facts()) == ()


def test_a_wide_training_range_widens_what_is_usual():
    assert odd(INSIDE, 1600, facts((10, 500, 1000, 20, 900))) == ()


def test_parts_and_borders_are_compared_with_training():
    assert odd(MaskForm(1000, 3, touches_border=True), 100, facts()) == (
        "3 parts, at most 1 in training",
        "touches the border of the image",
    )
    assert odd(MaskForm(1000, 2, touches_border=True), 100, facts(border=0.5)) == ()


def test_missing_is_odd_only_for_what_is_always_there():
    nothing = MaskForm(0, 0, touches_border=False)
    assert odd(nothing, 0, facts()) == ("missing",)
    assert odd(nothing, 0, facts(share=0.6)) == ()


def test_few_cases_and_no_facts_judge_nothing():
    assert odd(INSIDE, 1e6, facts((1, 2))) == ()
    assert odd(INSIDE, 1e6, None) == ()


def test_facts_come_from_the_cases_that_hold_a_target():
    empty = MaskForm(0, 0, touches_border=False)
    cases = [
        {"one": (MaskForm(5, 2, touches_border=True), 5.0), "two": (empty, 0.0)},
        {"one": (MaskForm(7, 1, touches_border=False), 7.0), "two": (empty, 0.0)},
        {"one": (empty, 0.0), "two": (empty, 0.0)},
    ]
    found = structure_facts(cases)
    assert set(found) == {"one"}
    assert found["one"].model_dump() == pytest.approx(
        {"cases": 2, "share": 2 / 3, "smallest_ml": 5, "largest_ml": 7, "mean_ml": 6, "deviation_ml": 1,
         "most_components": 2, "border_share": 0.5}
    )  # fmt: skip


def test_pictures_have_no_volume():
    grid = Geometry.from_spacing((4, 4, 1), unit=LengthUnit.PIXEL)
    assert volume_ml(INSIDE, grid) is None
    assert structure_facts([{"one": (INSIDE, None)}]) == {}


def test_volumes_are_in_millilitres():
    grid = geometry((32, 32, 32), (1.0, 1.5, 2.0))
    labels = LabelMap(ball().astype(np.uint8), grid)
    form = measured(labels, scheme("one", "two"))["one"]
    assert volume_ml(form, grid) == pytest.approx(ball().sum() * 3 / 1000)


@pytest.mark.parametrize("overlap", [False, True])
def test_training_cases_are_measured_as_the_network_sees_them(overlap):
    one = ball().astype(np.uint8)
    target = np.stack([one, one * 0]) if overlap else one
    found = expected_structures([prepared_arrays(target)] * 3, scheme("one", "two"))
    assert set(found) == {"one"}
    assert found["one"].mean_ml == pytest.approx(ball().sum() / 1000)
    assert found["one"].cases == 3


def test_of_many_cases_some_are_measured(monkeypatch):
    monkeypatch.setattr("medseg.training.finish._MOST_MEASURED", 2)
    found = expected_structures([prepared_arrays(ball().astype(np.uint8))] * 7, scheme("one", "two"))
    assert found["one"].cases == 2
