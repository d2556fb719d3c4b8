import re

import numpy as np
import pytest
from PIL import Image
from score_factories import both_empty, evaluation, missed, score_row

from medseg.core.case import CaseId
from medseg.evaluation import figures, report
from medseg.evaluation.report import report_page
from medseg.evaluation.scoring import Problem, Unscored
from medseg.evaluation.worst import WorstCase
from medseg.metrics.table import ScoreSettings

EVIL = "<img src=x onerror=alert(1)>"


def found(names=("one", "two"), unscored=(), same_patient=False, **changes):
    rows = [score_row(f"case{n}", name, 0.5 + 0.05 * n) for n in range(6) for name in names]
    rows[0], rows[-1] = missed("case0", names[0]), both_empty("case5", names[-1])
    patients = {row.case: "P" if same_patient else row.case for row in rows}
    return evaluation(rows, names, unscored, patients, **changes)


def worst(case="case0", note=""):
    return WorstCase(CaseId(case), 0.25, Image.fromarray(np.zeros((4, 4, 3), np.uint8)), note)


def titles(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_page_holds_every_part():
    text = report_page(found(), [worst(note="without its image")])
    assert titles(text) == [
        "Means", "Dice of every case", "HD95 of every case", "Volumes", "The worst cases", "All cases",
        "Settings and definitions",
    ]  # fmt: skip
    assert re.search(r"6 cases, mean foreground Dice 0\.\d{3} \(95 % confidence interval 0\.\d{3} to 0\.\d{3}\)", text)
    assert "case0: mean Dice 0.250 (one 0.000, two 0.500); without its image" in text
    assert "count the image&#x27;s diagonal instead (1 in all)" in text
    assert "100 resamples, seed 0" in text
    assert text.count("<circle") == 11 + 11 + 11  # nothing for the structure that is empty on both sides
    assert "case0: ∞ (missed)" in text


def test_all_scores_are_there_folded():
    text = report_page(found(), [])
    folded = text.split("<summary>all scores, with intervals and medians</summary>")[1].split("</details>")[0]
    for title in ("IoU", "F2", "MCC", "balanced accuracy", "HD, mm", "ASSD, mm", "MASD, mm", "boundary IoU at 2 mm"):
        assert f"<th>{title}</th>" in folded
    assert "clDice" not in text


def test_the_definition_of_each_score_is_told():
    scores = ScoreSettings(tolerance=1.5, tolerances={"two": 3.0}, rim=4.0, beta=0.5)
    text = report_page(found(scores=scores), [])
    assert "tolerance 1.5 mm of the others, 3 mm of two" in text
    assert "Tolerances of the NSD differ by structure" in text
    assert "<th>F0.5</th>" in text
    assert "boundary IoU at 4 mm" in text
    every = report_page(found(scores=ScoreSettings(tolerances={"one": 2.0, "two": 3.0})), [])
    assert "tolerance 2 mm of one, 3 mm of two<" in every
    assert "NSD at 1.5 mm" in report_page(found(scores=ScoreSettings(tolerance=1.5)), [])


def test_centre_lines_are_shown_where_they_were_asked_for():
    rows = [score_row("a", "vessel", cl_dice=0.75), score_row("a", "liver")]
    text = report_page(evaluation(rows, ("vessel", "liver")), [])
    assert "<th>clDice</th>" in text
    assert "0.750" in text


def test_nothing_from_outside_becomes_markup():
    unscored = (Unscored(CaseId(EVIL), Problem.FAILED, EVIL),)
    text = report_page(found((EVIL, "two"), unscored), [worst(note=EVIL)])
    assert EVIL not in text
    assert "&lt;img src=x" in text
    assert not re.search(r"https?://|<script|@import", text)


def test_cases_without_scores_are_told_first():
    unscored = (
        Unscored(CaseId("x"), Problem.FAILED, "grids differ"),
        Unscored(CaseId("w"), Problem.NO_CALIBRATION, "hold NaN"),
        *(Unscored(CaseId(f"y{n}"), Problem.NO_PREDICTION, "no prediction") for n in range(2)),
        Unscored(CaseId("z"), Problem.NO_REFERENCE, "no reference"),
    )
    text = report_page(found(unscored=unscored), [])
    lines = [
        "1 case that could not be scored; in no mean",
        "1 case whose probabilities could not be used; not in the calibration",
        "2 cases without a prediction; in no mean", "1 case without a reference; in no mean",
    ]  # fmt: skip
    assert [text.index(line) for line in lines] == sorted(text.index(line) for line in lines)
    assert max(text.index(line) for line in lines) < text.index("<h2>Means</h2>")
    assert "The worst cases" not in text


def test_no_score_at_all_still_makes_a_page():
    text = report_page(evaluation((), unscored=(Unscored(CaseId("x"), Problem.FAILED, "why"),)), [])
    assert "No case could be scored." in text
    assert "why" in text


def test_one_structure_needs_no_foreground():
    text = report_page(found(("liver",)), [])
    assert "mean Dice of liver" in text
    assert "foreground mean</td>" not in text


def test_patients_are_counted():
    assert "6 cases of 1 patient, mean" in report_page(found(same_patient=True), [])


def test_many_rows_and_structures_are_cut_and_folded(monkeypatch):
    monkeypatch.setattr(report, "_MOST_ROWS", 5)
    monkeypatch.setattr(figures, "_MOST_PANELS", 1)
    monkeypatch.setattr(figures, "_MOST_ROWS", 1)
    text = report_page(found(), [])
    assert "7 more rows are in scores.csv." in text
    assert text.count("more structures: 1") == 3  # Dice, HD95, volumes


@pytest.mark.parametrize(("most", "step"), [(6, 2), (4, 3)])
def test_too_many_dots_are_thinned_by_size(monkeypatch, most, step):
    monkeypatch.setattr(figures, "_MOST_DOTS", most)
    rows = [score_row(f"case{n}", "one", n / 12) for n in range(12)]
    text = report_page(evaluation(rows, ("one",)), [])
    assert f"by their size, one case in {step} is shown" in text
    dice = text.split("Dice of every case")[1].split("HD95 of every case")[0]
    shown = [float(value) for value in re.findall(r"case\d+: (0\.\d+)", dice)]
    assert shown == pytest.approx([n / 12 for n in (*range(0, 11, step), 11)], abs=1e-3)


def test_volumes_that_would_be_too_many_dots_are_named(monkeypatch):
    monkeypatch.setattr(figures, "_MOST_DOTS", 7)
    text = report_page(found(), [])
    assert "Not drawn, as there are too many cases: two." in text
