import math

import pytest
from score_factories import both_empty, missed, score_row

from medseg.core.errors import InputError
from medseg.core.geometry import LengthUnit
from medseg.evaluation.aggregate import FOREGROUND, by_patient, foreground, summarise
from medseg.evaluation.intervals import Bootstrap, Method
from medseg.evaluation.score_names import DISTANCES, SCORES
from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore

QUICK = Bootstrap(resamples=200)


def alone(rows):
    return {one.case: one.case for one in rows}


def test_every_named_score_is_a_field_of_a_row():
    assert set(SCORES) <= set(StructureScore.__dataclass_fields__) | {"volume_difference"}
    assert all(not one.higher_is_better for one in DISTANCES)


def test_means_over_cases():
    rows = [score_row("a", dice=0.8), score_row("b", dice=0.6), score_row("c", dice=0.1)]
    (summary,) = summarise(rows, alone(rows), QUICK)
    dice = summary.means["dice"]
    assert (dice.value, dice.median, dice.cases, dice.patients) == (pytest.approx(0.5), 0.6, 3, 3)
    assert dice.interval.low <= 0.5 <= dice.interval.high
    assert summary.means["volume_difference"].value == -2
    assert summary.means["volume_difference"].interval.method is Method.CONSTANT


def test_empty_on_both_sides_is_left_out_and_counted():
    rows = [score_row("a"), both_empty("b"), missed("c")]
    (summary,) = summarise(rows, alone(rows), QUICK)
    assert summary.means["dice"].value == pytest.approx(0.4)
    assert summary.means["dice"].cases == 2
    assert summary.means["accuracy"].cases == 3
    assert summary.statuses == {Status.OK: 1, Status.BOTH_EMPTY: 1, Status.MISSED: 1, Status.FALSE_POSITIVE: 0}


@pytest.mark.parametrize("name", ["hd", "hd95", "assd", "masd"])
def test_an_infinite_distance_counts_as_the_diagonal_and_is_counted(name):
    rows = [score_row("a"), missed("b")]
    (summary,) = summarise(rows, alone(rows), QUICK)
    assert summary.means[name].value == (2 + 90) / 2
    assert summary.replaced == 1


def test_structures_are_averaged_within_a_case_first():
    rows = [
        score_row("a", "liver", 0.9), both_empty("a", "spleen"), score_row("b", "liver", 0.5),
        score_row("b", "spleen", 0.3),
    ]  # fmt: skip
    assert foreground(rows, "dice") == {"a": pytest.approx(0.9), "b": pytest.approx(0.4)}
    liver, spleen, overall = summarise(rows, alone(rows), QUICK)
    assert (liver.structure, spleen.structure, overall.structure) == ("liver", "spleen", FOREGROUND)
    assert overall.means["dice"].value == pytest.approx(0.65)  # not (0.7 + 0.3) / 2, structures first
    assert "volume_difference" not in overall.means
    assert overall.statuses[Status.BOTH_EMPTY] == 1


def test_centre_lines_are_averaged_where_somebody_asked_for_them():
    rows = [score_row("a", "vessel", cl_dice=0.7), score_row("a", "liver")]
    vessel, liver, overall = summarise(rows, alone(rows), QUICK)
    assert vessel.means["cl_dice"].value == 0.7
    assert "cl_dice" not in liver.means
    assert "cl_dice" not in overall.means


def test_a_case_without_any_structure_has_no_foreground():
    rows = [both_empty("a", "liver"), both_empty("a", "spleen"), score_row("b", "liver"), score_row("b", "spleen")]
    assert math.isnan(foreground(rows, "dice")["a"])
    assert summarise(rows, alone(rows), QUICK)[-1].means["dice"].cases == 1


def test_patients_are_the_unit():
    rows = [score_row(case, dice=dice) for case, dice in (("a1", 0.2), ("a2", 0.4), ("a3", 0.6), ("b", 0.9))]
    patients = {"a1": "A", "a2": "A", "a3": "A", "b": "B"}
    (summary,) = summarise(rows, patients, QUICK)
    dice = summary.means["dice"]
    assert (dice.value, dice.patients, dice.cases) == (pytest.approx((0.4 + 0.9) / 2), 2, 4)
    values = {"a1": 0.2, "a2": math.nan, "a3": 0.6, "b": math.nan}
    assert by_patient(values, patients) == {"A": pytest.approx(0.4)}


def test_nothing_to_average():
    rows = [both_empty("a")]
    (summary,) = summarise(rows, alone(rows), QUICK)
    assert math.isnan(summary.means["dice"].value)
    assert math.isnan(summary.means["dice"].median)
    assert summary.means["dice"].interval.method is Method.NONE
    assert summarise([], {}, QUICK) == ()


def test_the_order_of_cases_changes_no_mean():
    rows = [score_row(str(index), dice=index / 17) for index in range(17)]
    one, other = (summarise(order, alone(rows), QUICK)[0].means["dice"].value for order in (rows, rows[::-1]))
    assert one == other


def test_millimetres_and_pixels_do_not_mix():
    rows = [score_row("a"), score_row("b", unit=LengthUnit.PIXEL)]
    with pytest.raises(InputError, match="1 of the cases have no spacing, the others do"):
        summarise(rows, alone(rows), QUICK)
