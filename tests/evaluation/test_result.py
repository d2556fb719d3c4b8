import json
import math

import numpy as np
import pytest
from score_factories import both_empty, evaluation, missed, score_row

from medseg.core.case import CaseId
from medseg.core.geometry import LengthUnit
from medseg.evaluation.as_json import as_json, json_text
from medseg.evaluation.case_table import COLUMNS, as_csv, as_parquet, case_rows, unscored_rows
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.result import p_text, shown
from medseg.evaluation.scoring import Problem, Unscored
from medseg.metrics.table import ScoreSettings

ROWS = (score_row("a", "one"), missed("a", "two"), score_row("b", "one", dice=0.6), both_empty("b", "two"))
FAILED = Unscored(CaseId("c"), Problem.FAILED, "grids differ")


def found(rows=ROWS, **changes):
    return evaluation(rows, bootstrap=Bootstrap(resamples=100, level=0.9), **changes)


def test_summary_rows_are_flat_and_plain():
    one, two, overall = found().summary_rows()
    assert (one["structure"], one["cases"], one["Dice"]) == ("one", 2, pytest.approx(0.7))
    assert one["90 % CI"] == "0.600-0.800"
    assert (two["missed"], two["empty"], two["HD95 mm"], two["90 % CI"]) == (1, 1, 90.0, None)
    assert (overall["structure"], overall["Dice"]) == ("foreground mean", pytest.approx(0.5))


def test_case_rows_have_the_columns_of_the_table():
    rows = case_rows(found())
    assert {(*one, "message") for one in rows} == {COLUMNS}
    assert [one["status"] for one in rows] == ["ok", "missed", "ok", "both_empty"]
    assert (rows[1]["hd95"], rows[3]["hd95"], rows[3]["dice"]) == ("inf", None, None)
    assert (rows[0]["volume_difference"], rows[0]["volume_unit"], rows[0]["tp"]) == (-2, "mL", 8)
    assert (rows[0]["rim"], rows[0]["beta"], rows[0]["image_diagonal"], rows[0]["cl_dice"]) == (2, 2, 90, None)
    (lone,) = unscored_rows((FAILED,))
    assert lone == {"case": "c", "status": "failed", "message": "grids differ"}


def test_csv_holds_both_kinds_of_rows():
    lines = as_csv(found(unscored=[FAILED])).splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[0] for line in lines[1:]] == ["a", "a", "b", "b", "c"]
    assert lines[-1].endswith(",grids differ")


def test_parquet_holds_the_same_with_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow, from the extra parquet")
    (tmp_path / "scores.parquet").write_bytes(as_parquet(found(unscored=[FAILED])))
    table = parquet.read_table(tmp_path / "scores.parquet")
    assert tuple(table.column_names) == COLUMNS
    columns = table.to_pydict()
    assert columns["hd95"] == [2.0, math.inf, 2.0, None, None]
    assert columns["tp"] == [8, 8, 8, 8, None]
    assert columns["message"] == [None] * 4 + ["grids differ"]


def test_patients_are_numbered_and_never_named():
    named = found(patients={"a": "MARKER^NAME", "b": "MARKER^NAME"})
    assert {one["patient"] for one in case_rows(named)} == {1}
    assert "MARKER" not in json_text(as_json(named))


def test_json_is_strict_and_complete():
    settings = ScoreSettings(tolerances={"two": 3.0}, thin=frozenset({"two"}))
    one = found(unscored=[FAILED], scores=settings)
    tree = json.loads(json_text(as_json(one)))
    assert tree == as_json(one)
    assert tree["settings"] == {
        "nsd_tolerance": {"one": 1.0, "two": 3.0}, "rim": 2.0, "beta": 2.0, "thin": ["two"], "instances": [],
        "distance_unit": "mm", "volume_unit": "mL", "resamples": 100, "confidence_level": 0.9, "seed": 0,
    }  # fmt: skip
    assert set(tree["versions"]) == {"medseg", "python", "numpy", "scipy"}
    assert set(tree["definitions"]) == {"hd95", "assd", "masd", "nsd", "averaging"}
    two = tree["summary"][1]
    assert two["statuses"] == {"ok": 0, "both_empty": 1, "missed": 1, "false_positive": 0}
    assert two["infinite_distances_counted_as_image_diagonal"] == 1
    assert two["means"]["dice"] == {
        "mean": 0.0, "median": 0.0, "low": None, "high": None, "interval": "fewer than two values", "patients": 1,
        "cases": 1,
    }  # fmt: skip
    assert (tree["cases"], tree["unscored"]) == (case_rows(one), unscored_rows(one.unscored))
    assert not {"whole_map", "instances", "calibration", "subgroups"} & set(tree)


def test_pixels_are_called_pixels():
    pixels = found([score_row("a", "one", unit=LengthUnit.PIXEL)], names=("one",))
    assert "HD95 pixel" in pixels.summary_rows()[0]
    assert (pixels.unit, pixels.volume_unit) == (LengthUnit.PIXEL, "pixel")
    assert case_rows(pixels)[0]["distance_unit"] == "pixel"


@pytest.mark.parametrize(
    ("problem", "is_failure"),
    [(Problem.NO_PREDICTION, False), (Problem.NO_REFERENCE, False), (Problem.FAILED, True),
     (Problem.NO_CALIBRATION, True)],
)  # fmt: skip
def test_a_missing_side_is_no_failure(problem, is_failure):
    assert found(unscored=[Unscored(CaseId("c"), problem, "why")]).has_failures is is_failure


def test_without_any_score():
    nothing = found((), unscored=[FAILED])
    assert (nothing.summary_rows(), nothing.cases, nothing.unit) == ([], (), LengthUnit.MM)
    json_text(as_json(nothing))
    assert len(as_csv(nothing).splitlines()) == 2


@pytest.mark.parametrize(
    ("score", "value", "text"),
    [("dice", 0.92, "0.920"), ("mcc", -0.1, "\N{MINUS SIGN}0.100"), ("hd95", 4.0, "4"), ("hd95", math.inf, "∞"),
     ("nsd", math.nan, "\N{EN DASH}"), ("volume_difference", -12.34, "\N{MINUS SIGN}12.3")],
)  # fmt: skip
def test_shares_have_three_decimals(score, value, text):
    assert shown(score, value) == text


def test_small_p_values_are_only_called_small():
    assert [p_text(value) for value in (0.0004, 0.0214, math.nan)] == ["< 0.001", "0.021", "\N{EN DASH}"]
    assert p_text(np.float64(1)) == "1.000"
