import json
import math

import pytest
from score_factories import both_empty, evaluation, missed, score_row

from medseg.core.errors import InputError, ReadError
from medseg.core.geometry import LengthUnit
from medseg.evaluation.as_json import as_json, json_text
from medseg.evaluation.scores_file import read_scores
from medseg.metrics.table import ScoreSettings

ROWS = (score_row("a", "one"), missed("a", "two"), both_empty("b", "one"), score_row("b", "two", cl_dice=0.5))


def written(folder, rows=ROWS, **changes):
    """What `medseg evaluate` leaves; ``changes`` replace parts of the file."""
    settings = ScoreSettings(thin=frozenset({"two"}))
    tree = as_json(evaluation(rows, scores=settings, patients={"a": "A", "b": "B"}))
    folder.mkdir(exist_ok=True)
    (folder / "scores.json").write_text(json_text({**tree, **changes}))
    return folder


def test_rows_come_back_as_they_were(tmp_path):
    found = read_scores(written(tmp_path / "run"), "model")
    assert (found.name, found.targets, found.patients) == ("model", ("one", "two"), {"a": "1", "b": "2"})
    assert repr(found.rows) == repr(ROWS)
    assert (found.rows[1].hd95, math.isnan(found.rows[2].dice), found.rows[3].cl_dice) == (math.inf, True, 0.5)
    assert read_scores(tmp_path / "run" / "scores.json", "model").rows[0] == found.rows[0]


def test_pixels_come_back_as_pixels(tmp_path):
    rows = [score_row("a", "one", unit=LengthUnit.PIXEL)]
    assert read_scores(written(tmp_path / "run", rows), "model").rows[0].unit is LengthUnit.PIXEL


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"format": 1}, InputError, "scores.json of 'model' is of another version of medseg; run `medseg evaluate`"),
        ({"targets": []}, ReadError, "scores.json of 'model': targets"),
        ({"cases": [{"case": "a"}]}, ReadError, "cases.0.patient: field required"),
        ({"targets": ["one"]}, ReadError, "a structure is unknown, or comes twice in one case"),
        ({"settings": {}}, ReadError, "settings.nsd_tolerance: field required"),
    ],
)
def test_a_file_that_is_not_sound_is_refused(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        read_scores(written(tmp_path / "run", **changes), "model")


def test_a_structure_that_comes_twice_is_refused(tmp_path):
    written(tmp_path / "run", [*ROWS, ROWS[0]])
    with pytest.raises(ReadError, match="comes twice in one case"):
        read_scores(tmp_path / "run", "model")


@pytest.mark.parametrize("value", ["NaN", "1e999", '"Infinity"', "-3"])
def test_numbers_that_are_none_are_refused(tmp_path, value):
    file = written(tmp_path / "run") / "scores.json"
    tree = json.loads(file.read_text())
    tree["cases"][0]["tp"] = "HERE"
    file.write_text(json.dumps(tree).replace('"HERE"', value))
    with pytest.raises(ReadError, match="cases.0.tp"):
        read_scores(tmp_path / "run", "model")


def test_what_is_no_evaluation_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty' holds no scores.json; name a folder that `medseg evaluate` wrote"):
        read_scores(tmp_path / "empty", "model")
    with pytest.raises(InputError, match="nowhere' does not exist"):
        read_scores(tmp_path / "nowhere", "model")
    (tmp_path / "empty" / "scores.json").write_text("[]")
    with pytest.raises(ReadError, match="holds no JSON object"):
        read_scores(tmp_path / "empty", "model")
