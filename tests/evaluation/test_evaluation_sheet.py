import json

import numpy as np
import pytest
from score_factories import QUICK, evaluation, missed, score_row

from medseg.core.case import CaseId
from medseg.core.errors import InputError, ReadError
from medseg.evaluation.as_json import as_json, json_text
from medseg.evaluation.audit import audit
from medseg.evaluation.calibration_scores import CaseCalibration, summarise_calibration
from medseg.evaluation.evaluation_sheet import evaluation_sheet, sheet_of
from medseg.evaluation.result import Details
from medseg.evaluation.score_sheet import Basis
from medseg.metrics.calibration import reliability
from medseg.metrics.table import ScoreSettings

CASES = [CaseId(f"case{n}") for n in range(30)]
PATIENTS = {case: f"patient of {case}" for case in CASES}
DICE = {case: 0.6 + index / 100 for index, case in enumerate(CASES)}


def written(folder, **details):
    rows = [score_row(case, name, DICE[case]) for case in CASES for name in ("one", "two")]
    rows[0] = missed(CASES[0], "one")
    scores = ScoreSettings(tolerance=2.0)
    found = evaluation(rows, patients=PATIENTS, details=Details(**details), scores=scores)
    (folder / "scores.json").write_text(json_text(as_json(found)))
    return found


def test_the_means_of_an_evaluation_are_kept_and_no_case(tmp_path):
    found = written(tmp_path)
    sheet = evaluation_sheet(tmp_path)
    assert (sheet.cases, sheet.patients, sheet.tolerances) == (30, 30, {"one": 2.0, "two": 2.0})
    for summary, kept in zip(found.summaries, sheet.structures, strict=True):
        assert set(kept.means) == {"dice", "hd95", "nsd"}
        assert kept.means["dice"].mean == summary.means["dice"].value
        assert kept.means["hd95"].high == summary.means["hd95"].interval.high
    assert sheet.structures[0].statuses["missed"] == 1
    assert "case7" not in sheet.model_dump_json()


def test_an_evaluation_in_memory_gives_the_same_sheet(tmp_path):
    found = written(tmp_path)
    sheet = sheet_of(found, Basis.OUT_OF_FOLD)
    assert sheet == evaluation_sheet(tmp_path).model_copy(update={"basis": Basis.OUT_OF_FOLD})
    assert sheet_of(evaluation(()), Basis.OUT_OF_FOLD) is None


def test_calibration_is_kept_with_its_bins(tmp_path):
    counts = reliability(np.array([0.05, 0.95, 0.95]), np.array([False, True, False]))
    cases = tuple(CaseCalibration(case, "two", counts) for case in CASES)
    written(tmp_path, case_calibration=cases, calibration=summarise_calibration(cases, PATIENTS, QUICK))
    (one,) = evaluation_sheet(tmp_path).calibration
    assert (one.structure, one.ece.cases, len(one.bins)) == ("two", 30, 15)
    assert (one.bins[14].voxels, one.bins[14].frequency, one.bins[7].confidence) == (60, 0.5, None)


def test_small_groups_are_counted_together(tmp_path):
    site = {
        case: "A" if n < 12 else "B" if n < 26 else "MARKER" if n < 29 else "SINGLE" for n, case in enumerate(CASES)
    }
    day = {case: "2024-03-01" if n < 15 else "2024-03-02" for n, case in enumerate(CASES)}
    written(tmp_path, audit=audit(DICE, {"site": site, "day": day}, PATIENTS, QUICK))
    (one,) = evaluation_sheet(tmp_path).attributes
    assert [(group.value, group.patients) for group in one.groups] == [("A", 12), ("B", 14)]
    assert (one.other, one.worst) == (4, "A")
    assert "MARKER" not in one.model_dump_json()


def test_scores_of_another_kind_are_refused(tmp_path):
    (tmp_path / "scores.json").write_text('{"summary": []}')
    with pytest.raises(InputError, match="holds no scores of this version of medseg; run `medseg evaluate` again"):
        evaluation_sheet(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        evaluation_sheet(tmp_path / "nowhere")
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match=r"run' holds no scores\.json; name a folder that `medseg evaluate` wrote"):
        evaluation_sheet(tmp_path / "run")
    written(tmp_path)
    tree = json.loads((tmp_path / "scores.json").read_text())
    (tmp_path / "scores.json").write_text(json.dumps(tree | {"summary": [{"structure": 3}]}))
    with pytest.raises(ReadError, match=r"scores.json: summary.0.structure"):
        evaluation_sheet(tmp_path)
