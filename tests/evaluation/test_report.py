import math
import re

import numpy as np
from factories import scheme
from PIL import Image

from medseg.core.case import CaseId
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.evaluation import figures, report
from medseg.evaluation.aggregate import summarise
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.report import report_page
from medseg.evaluation.result import Evaluation, Settings
from medseg.evaluation.scoring import Problem, Unscored
from medseg.evaluation.worst import WorstCase
from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore

EVIL = "<img src=x onerror=alert(1)>"


def row(case, structure, dice, status=Status.OK, hd95=3.0):
    return StructureScore(
        case=case, structure=structure, status=status, dice=dice, iou=dice, accuracy=0.9, precision=dice, recall=dice,
        specificity=0.9, volume_predicted=10 * dice, volume_reference=9.0, hd95=hd95, nsd=dice, tolerance=1.0,
        unit=LengthUnit.MM, diagonal=90.0, tp=8, fp=4, fn=0, tn=100,
    )  # fmt: skip


def evaluation(names=("one", "two"), unscored=(), same_patient=False):
    rows = [row(f"case{n}", name, 0.5 + 0.05 * n) for n in range(6) for name in names]
    rows[0] = row("case0", names[0], 0.0, Status.MISSED, math.inf)
    rows[-1] = row("case5", names[-1], math.nan, Status.BOTH_EMPTY, math.nan)
    patients = {one.case: "P" if same_patient else one.case for one in rows}
    settings = Settings(1.0, Bootstrap(resamples=100))
    named = LabelScheme.from_names({name: value for value, name in enumerate(names, start=1)})
    return Evaluation(named, settings, tuple(rows), unscored, summarise(rows, patients, settings.bootstrap), patients)


def worst(case="case0", note=""):
    return WorstCase(CaseId(case), 0.25, Image.fromarray(np.zeros((4, 4, 3), np.uint8)), note)


def test_the_page_holds_every_part():
    text = report_page(evaluation(), [worst(note="without its image")])
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert titles == [
        "Means", "Dice of every case", "HD95 of every case", "Volumes", "The worst cases", "All cases",
        "Settings and definitions",
    ]  # fmt: skip
    assert re.search(r"6 cases, mean foreground Dice 0\.\d{3} \(95 % confidence interval 0\.\d{3} to 0\.\d{3}\)", text)
    assert "case0: mean Dice 0.250 (one 0.000, two 0.500); without its image" in text
    assert "count the image&#x27;s diagonal instead (1 in all)" in text
    assert "100 resamples, seed 0" in text
    assert text.count("<circle") == 11 + 11 + 11  # nothing for the structure that is empty on both sides
    assert "case0: ∞ (missed)" in text


def test_nothing_from_outside_becomes_markup():
    unscored = (Unscored(CaseId(EVIL), Problem.FAILED, EVIL),)
    text = report_page(evaluation((EVIL, "two"), unscored), [worst(note=EVIL)])
    assert EVIL not in text
    assert "&lt;img src=x" in text
    assert not re.search(r"https?://|<script|@import", text)


def test_cases_without_scores_are_told_first():
    unscored = (
        Unscored(CaseId("x"), Problem.FAILED, "grids differ"),
        *(Unscored(CaseId(f"y{n}"), Problem.NO_PREDICTION, "no prediction") for n in range(2)),
        Unscored(CaseId("z"), Problem.NO_REFERENCE, "no reference"),
    )
    text = report_page(evaluation(unscored=unscored), [])
    lines = [
        "1 case that could not be scored; in no mean", "2 cases without a prediction; in no mean",
        "1 case without a reference; in no mean",
    ]  # fmt: skip
    assert [text.index(line) for line in lines] == sorted(text.index(line) for line in lines)
    assert max(text.index(line) for line in lines) < text.index("<h2>Means</h2>")
    assert "The worst cases" not in text


def test_no_score_at_all_still_makes_a_page():
    found = Evaluation(scheme(), Settings(), (), (Unscored(CaseId("x"), Problem.FAILED, "why"),), (), {})
    text = report_page(found, [])
    assert "No case could be scored." in text
    assert "why" in text


def test_one_structure_needs_no_foreground():
    text = report_page(evaluation(("liver",)), [])
    assert "mean Dice of liver" in text
    assert "foreground mean</td>" not in text


def test_patients_are_counted():
    assert "6 cases of 1 patient, mean" in report_page(evaluation(same_patient=True), [])


def test_many_rows_and_structures_are_cut_and_folded(monkeypatch):
    monkeypatch.setattr(report, "_MOST_ROWS", 5)
    monkeypatch.setattr(figures, "_MOST_PANELS", 1)
    text = report_page(evaluation(), [])
    assert "7 more rows are in scores.csv." in text
    assert "more structures: 1" in text
