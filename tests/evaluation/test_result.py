import json
import math

import pytest
from factories import scheme

from medseg.core.case import CaseId
from medseg.core.geometry import LengthUnit
from medseg.evaluation.aggregate import summarise
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.result import CASE_COLUMNS, Evaluation, Settings, shown
from medseg.evaluation.scoring import Problem, Unscored
from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore

SETTINGS = Settings(2.0, Bootstrap(resamples=100, level=0.9))


def row(case, structure, status=Status.OK, dice=0.8, hd95=2.0, unit=LengthUnit.MM):
    return StructureScore(
        case=case, structure=structure, status=status, dice=dice, iou=dice, accuracy=0.9, precision=dice, recall=dice,
        specificity=0.9, volume_predicted=1.5, volume_reference=1.0, hd95=hd95, nsd=dice, tolerance=2.0, unit=unit,
        diagonal=90.0, tp=8, fp=4, fn=0, tn=100,
    )  # fmt: skip


def evaluation(*rows, unscored=(), patients=None):
    patients = patients or {one.case: f"patient {one.case}" for one in rows}
    return Evaluation(scheme(), SETTINGS, rows, unscored, summarise(rows, patients, SETTINGS.bootstrap), patients)


ROWS = (
    row("a", "one"),
    row("a", "two", Status.MISSED, 0.0, math.inf),
    row("b", "one", dice=0.6),
    row("b", "two", Status.BOTH_EMPTY, math.nan, math.nan),
)
FAILED = Unscored(CaseId("c"), Problem.FAILED, "grids differ")


def test_summary_rows_are_flat_and_plain():
    one, two, overall = evaluation(*ROWS).summary_rows()
    assert (one["structure"], one["cases"], one["Dice"]) == ("one", 2, pytest.approx(0.7))
    assert one["90 % CI"] == "0.600-0.800"
    assert (two["missed"], two["empty"], two["HD95 mm"], two["90 % CI"]) == (1, 1, 90.0, None)
    assert (overall["structure"], overall["Dice"]) == ("foreground mean", pytest.approx(0.5))


def test_case_rows_have_the_columns_of_the_table():
    rows = evaluation(*ROWS).case_rows()
    assert {(*one, "message") for one in rows} == {CASE_COLUMNS}
    assert [one["status"] for one in rows] == ["ok", "missed", "ok", "both_empty"]
    assert (rows[1]["hd95"], rows[3]["hd95"], rows[3]["dice"]) == ("inf", None, None)
    assert (rows[0]["volume_difference"], rows[0]["volume_unit"], rows[0]["tp"]) == (0.5, "mL", 8)
    (lone,) = evaluation(unscored=(FAILED,)).unscored_rows()
    assert lone == {"case": "c", "status": "failed", "message": "grids differ"}


def test_patients_are_numbered_and_never_named():
    found = evaluation(*ROWS, patients={"a": "MARKER^NAME", "b": "MARKER^NAME"})
    assert {one["patient"] for one in found.case_rows()} == {1}
    assert "MARKER" not in json.dumps(found.to_json())


def test_json_is_strict_and_complete():
    found = evaluation(*ROWS, unscored=(FAILED,))
    tree = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert tree["settings"] == {
        "nsd_tolerance": 2.0, "distance_unit": "mm", "volume_unit": "mL", "resamples": 100, "confidence_level": 0.9,
        "seed": 0,
    }  # fmt: skip
    assert set(tree["versions"]) == {"medseg", "python", "numpy", "scipy"}
    two = tree["summary"][1]
    assert two["statuses"] == {"ok": 0, "both_empty": 1, "missed": 1, "false_positive": 0}
    assert two["infinite_hd95_counted_as_image_diagonal"] == 1
    assert two["means"]["dice"] == {
        "mean": 0.0, "low": None, "high": None, "interval": "fewer than two values", "patients": 1, "cases": 1
    }  # fmt: skip
    assert (tree["cases"], tree["unscored"]) == (found.case_rows(), found.unscored_rows())


def test_pixels_are_called_pixels():
    found = evaluation(row("a", "one", unit=LengthUnit.PIXEL))
    assert "HD95 pixel" in found.summary_rows()[0]
    assert (found.unit, found.volume_unit) == (LengthUnit.PIXEL, "pixel")
    assert found.case_rows()[0]["distance_unit"] == "pixel"


def test_a_missing_side_is_no_failure():
    lone = Unscored(CaseId("c"), Problem.NO_PREDICTION, "no prediction of this name")
    assert not evaluation(*ROWS, unscored=(lone,)).has_failures
    assert evaluation(*ROWS, unscored=(lone, FAILED)).has_failures


def test_without_any_score():
    nothing = evaluation(unscored=(FAILED,))
    assert (nothing.summary_rows(), nothing.cases, nothing.unit) == ([], (), LengthUnit.MM)
    json.dumps(nothing.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("score", "value", "text"),
    [("dice", 0.92, "0.920"), ("hd95", 4.0, "4"), ("hd95", math.inf, "∞"), ("nsd", math.nan, "\N{EN DASH}")],
)
def test_shares_have_three_decimals(score, value, text):
    assert shown(score, value) == text
