import json
import re

import numpy as np
import pytest
from factories import scheme
from score_factories import QUICK, evaluation, score_row

from medseg.evaluation.as_json import as_json, json_text
from medseg.evaluation.audit import Audit, audit
from medseg.evaluation.calibration_scores import CaseCalibration, summarise_calibration
from medseg.evaluation.instance_scores import CaseInstances, summarise_instances
from medseg.evaluation.report import report_page
from medseg.evaluation.result import Details
from medseg.evaluation.whole_map import whole_map
from medseg.metrics.average_precision import Detections
from medseg.metrics.calibration import reliability
from medseg.metrics.instances import InstanceCounts, LesionCounts

COUNT = 30
CASES = [f"case{n}" for n in range(COUNT)]
PATIENTS = {case: f"patient of {case}" for case in CASES}
DICE = {case: 0.6 + 0.2 * (index % 2) + index / 1000 for index, case in enumerate(CASES)}


def found(**details):
    rows = [score_row(case, name, DICE[case]) for case in CASES for name in ("one", "two")]
    return evaluation(rows, patients=PATIENTS, details=Details(**details))


def both(one):
    """The page and the JSON tree."""
    text = json_text(as_json(one))
    assert "patient of" not in text
    return report_page(one, []), as_json(one)


def test_instances():
    detections = Detections(np.array([0.9, 0.2]), np.array([[0.8], [0.0]]))
    cases = tuple(
        CaseInstances(case, "one", InstanceCounts(1, 1, 1, 0.8), LesionCounts(1, 1, 1), detections) for case in CASES
    )
    page, tree = both(found(case_instances=cases, instances=summarise_instances(cases, PATIENTS, QUICK)))
    assert "<h2>Instances</h2>" in page
    assert re.search(r"<td>60</td><td>30</td><td>30</td><td>30</td><td>0\.500", page)
    (summary,) = tree["instances"]["summary"]
    assert (summary["structure"], summary["tp"], summary["found"], summary["cases"]) == ("one", 30, 30, 30)
    assert summary["pq"]["value"] == pytest.approx(0.4)
    assert summary["false_per_case"] == {"value": 1.0, "low": 1.0, "high": 1.0, "interval": "all values are equal"}
    assert summary["average_precision"]["by_iou"]["0.75"] == pytest.approx(1.0)
    assert tree["instances"]["cases"][0] == {
        "case": "case0", "structure": "one", "tp": 1, "fp": 1, "fn": 1, "iou_sum": 0.8, "found": 1, "missed": 1,
        "false": 1,
    }  # fmt: skip


def test_calibration():
    counts = reliability(np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, False, True, False]))
    cases = tuple(CaseCalibration(case, "two", counts) for case in CASES)
    page, tree = both(found(case_calibration=cases, calibration=summarise_calibration(cases, PATIENTS, QUICK)))
    assert "<h2>Calibration</h2>" in page
    assert "ECE (15 bins)" in page
    assert "said 0.95, true 0.5, 60 voxels" in page
    (summary,) = tree["calibration"]["summary"]
    assert (summary["pooled_ece"], summary["ece"]["mean"]) == pytest.approx((0.25, 0.25))
    assert summary["bins"][14] == {"voxels": 60, "confidence": pytest.approx(0.95), "frequency": 0.5}
    assert summary["bins"][7] == {"voxels": 0, "confidence": None, "frequency": None}
    assert (tree["calibration"]["bins"], tree["calibration"]["margin"]) == (15, 10)
    assert tree["calibration"]["cases"][0]["voxels"] == 4
    assert "10 mm (pixels) more on each side" in tree["definitions"]["calibration"]


def subgroups():
    sex = {case: "FM"[index % 2] for index, case in enumerate(CASES)}
    site = {case: "A" if index < 14 else "B" if index < 25 else "C" for index, case in enumerate(CASES)}
    few = {case: str(index % 9) for index, case in enumerate(CASES[:20])}
    attributes = {"sex": sex, "site": site, "code": few, "name": {case: f"N{case}" for case in CASES}}
    return audit(DICE, attributes, PATIENTS, QUICK)


def test_subgroups():
    page, tree = both(found(audit=subgroups()))
    assert "<h2>Subgroups of patients</h2>" in page
    rows = dict(re.findall(r'<tr><td class="text">(sex|site|code)</td>(.*?)</tr>', page))
    assert rows["sex"].startswith("<td>2 of 2</td><td>0.201</td><td>F</td>")
    assert rows["sex"].endswith("<td>groups differ</td>")
    assert rows["site"].endswith("<td>no difference shown</td>")
    assert rows["code"].endswith("<td>too small to judge</td>")
    assert "Too small to judge: C (5)." in page
    assert "0 (3), 1 (3), 2 (2), 3 (2), 4 (2), 5 (2), 6 (2), 7 (2), 1 more. Unknown or not the same in all" in page
    assert "Not looked at: name (nearly every patient has a value of their own)." in page
    assert "Ncase" not in page
    audits = {one["attribute"]: one for one in tree["subgroups"]["attributes"]}
    assert audits["sex"]["worst"] == "F"
    assert audits["sex"]["p_adjusted"] == pytest.approx(2 * audits["sex"]["p"])
    assert audits["code"]["p"] is None
    small = next(group for group in audits["site"]["groups"] if group["value"] == "C")
    assert small == {"value": "C", "patients": 5, "judged": False}  # a mean of few would tell of single patients


def test_a_value_of_one_patient_is_never_named():
    sex = {case: "F" if index < 20 else "MARKER" if index == 20 else "M" for index, case in enumerate(CASES[:27])}
    page, tree = both(found(audit=audit(DICE, {"sex": sex}, PATIENTS, QUICK)))
    assert "Too small to judge: M (6), 1 value of a single patient. Unknown" in page
    assert "MARKER" not in page + json.dumps(tree)
    assert tree["subgroups"]["attributes"][0]["values_of_single_patients"] == 1


def test_plots_of_all_attributes_have_one_axis():
    page, _ = both(found(audit=subgroups()))
    plots = re.findall(r"<svg[^>]*><title>mean Dice by \w+</title>.*?</svg>", page)
    ticks = [re.findall(r'<text class="tick" x="([\d.]+)"[^>]*>(0\.\d+)<', plot) for plot in plots]
    assert len(plots) == 2
    assert ticks[0] == ticks[1]


def test_an_audit_of_nothing_says_why():
    page, tree = both(found(audit=Audit((), {"site": "all patients have the same value"})))
    assert "Not looked at: site (all patients have the same value)." in page
    assert tree["subgroups"]["left_out"] == {"site": "all patients have the same value"}


def matrices(size):
    rng = np.random.default_rng(0)
    return {case: rng.integers(0, 9, (size, size)) + 50 * np.eye(size, dtype=int) for case in CASES}


def test_confusion():
    page, tree = both(found(whole_map=whole_map(matrices(3), scheme(), PATIENTS, QUICK)))
    assert "<h2>Which structure is taken for which</h2>" in page
    assert "one → two: " in page
    whole = tree["whole_map"]
    assert whole["classes"] == ["background", "one", "two"]
    assert np.array(whole["confusion"]["total"]).shape == (3, 3)
    for predicted, true, voxels in whole["confusion"]["cases"]["case3"]:
        assert matrices(3)["case3"][predicted, true] == voxels
    assert whole["cases"][0]["case"] == "case0"
    assert whole["means"]["mean_iou"]["patients"] == COUNT


def test_confusion_of_many_structures_is_a_list():
    many = scheme(*(f"s{n}" for n in range(30)))
    of_all = matrices(31)
    of_all["case0"][4, 2] = 100_000  # predicted s3 where s1 is
    page, _ = both(found(whole_map=whole_map(of_all, many, PATIENTS, QUICK)))
    assert "The most frequent confusions." in page
    assert '<td class="text">s1</td><td class="text">s3</td>' in page
    assert "was called</th><th>voxels" in page
