import math

import pytest

from medseg.core.errors import InputError
from medseg.core.geometry import LengthUnit
from medseg.evaluation.aggregate import FOREGROUND, foreground, summarise
from medseg.evaluation.intervals import Bootstrap, Method
from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore

QUICK = Bootstrap(resamples=200)


def row(case, structure="liver", dice=0.8, status=Status.OK, hd95=2.0, unit=LengthUnit.MM):
    return StructureScore(
        case=case, structure=structure, status=status, dice=dice, iou=dice / (2 - dice), accuracy=0.99, precision=dice,
        recall=dice, specificity=1.0, volume_predicted=10.0, volume_reference=12.0, hd95=hd95, nsd=dice, tolerance=1.0,
        unit=unit, diagonal=500.0, tp=1, fp=1, fn=1, tn=1,
    )  # fmt: skip


def empty(case, structure="liver"):
    return row(case, structure, dice=math.nan, status=Status.BOTH_EMPTY, hd95=math.nan)


def missed(case, structure="liver"):
    return row(case, structure, dice=0.0, status=Status.MISSED, hd95=math.inf)


def alone(rows):
    return {one.case: one.case for one in rows}


def test_means_over_cases():
    rows = [row("a", dice=0.8), row("b", dice=0.6)]
    (summary,) = summarise(rows, alone(rows), QUICK)
    dice = summary.means["dice"]
    assert (dice.value, dice.cases, dice.patients) == (pytest.approx(0.7), 2, 2)
    assert dice.interval.low <= 0.7 <= dice.interval.high
    assert summary.means["volume_difference"].value == -2
    assert summary.means["volume_difference"].interval.method is Method.CONSTANT


def test_empty_on_both_sides_is_left_out_and_counted():
    rows = [row("a"), empty("b"), missed("c")]
    (summary,) = summarise(rows, alone(rows), QUICK)
    assert summary.means["dice"].value == pytest.approx(0.4)
    assert summary.means["dice"].cases == 2
    assert summary.means["accuracy"].cases == 3
    assert summary.statuses == {Status.OK: 1, Status.BOTH_EMPTY: 1, Status.MISSED: 1, Status.FALSE_POSITIVE: 0}


def test_an_infinite_distance_counts_as_the_diagonal_and_is_counted():
    rows = [row("a"), missed("b")]
    (summary,) = summarise(rows, alone(rows), QUICK)
    assert summary.means["hd95"].value == (2 + 500) / 2
    assert summary.replaced == 1


def test_structures_are_averaged_within_a_case_first():
    rows = [row("a", "liver", 0.9), empty("a", "spleen"), row("b", "liver", 0.5), row("b", "spleen", 0.3)]
    assert foreground(rows, "dice") == {"a": pytest.approx(0.9), "b": pytest.approx(0.4)}
    liver, spleen, overall = summarise(rows, alone(rows), QUICK)
    assert (liver.structure, spleen.structure, overall.structure) == ("liver", "spleen", FOREGROUND)
    assert overall.means["dice"].value == pytest.approx(0.65)  # not (0.7 + 0.3) / 2, structures first
    assert "volume_difference" not in overall.means
    assert overall.statuses[Status.BOTH_EMPTY] == 1


def test_a_case_without_any_structure_has_no_foreground():
    rows = [empty("a", "liver"), empty("a", "spleen"), row("b", "liver"), row("b", "spleen")]
    assert math.isnan(foreground(rows, "dice")["a"])
    assert summarise(rows, alone(rows), QUICK)[-1].means["dice"].cases == 1


def test_patients_are_the_unit():
    rows = [row("a1", dice=0.2), row("a2", dice=0.4), row("a3", dice=0.6), row("b", dice=0.9)]
    (summary,) = summarise(rows, {"a1": "A", "a2": "A", "a3": "A", "b": "B"}, QUICK)
    dice = summary.means["dice"]
    assert (dice.value, dice.patients, dice.cases) == (pytest.approx((0.4 + 0.9) / 2), 2, 4)


def test_nothing_to_average():
    rows = [empty("a")]
    (summary,) = summarise(rows, alone(rows), QUICK)
    assert math.isnan(summary.means["dice"].value)
    assert summary.means["dice"].interval.method is Method.NONE
    assert summarise([], {}, QUICK) == ()


def test_the_order_of_cases_changes_no_mean():
    rows = [row(str(index), dice=index / 17) for index in range(17)]
    one, other = (summarise(order, alone(rows), QUICK)[0].means["dice"].value for order in (rows, rows[::-1]))
    assert one == other


def test_millimetres_and_pixels_do_not_mix():
    rows = [row("a"), row("b", unit=LengthUnit.PIXEL)]
    with pytest.raises(InputError, match="1 of the cases have no spacing, the others do"):
        summarise(rows, alone(rows), QUICK)
