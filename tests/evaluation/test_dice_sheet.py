import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from dataset_factories import dataset, listed
from score_factories import QUICK

from medseg.core.case import CaseId
from medseg.evaluation.dice_sheet import dice_sheet, validation_sheet
from medseg.evaluation.intervals import mean_interval


@dataclass(frozen=True)
class Row:
    case: CaseId
    structure: str
    dice: float


COUNT = 30
PATIENTS = {CaseId(f"c{n}"): f"secret patient {n % COUNT}" for n in range(COUNT + 5)}  # five come twice


def rows(structures=("liver", "cyst")):
    rng = np.random.default_rng(0)
    return [Row(case, name, float(rng.uniform(0.5, 1))) for case in PATIENTS for name in structures]


def made(scores, attributes=None):
    return dice_sheet(scores, PATIENTS, attributes or {}, QUICK)


def test_means_are_over_patients_with_bca_intervals():
    scores = rows()
    sheet = made(scores)
    assert (sheet.cases, sheet.patients) == (COUNT + 5, COUNT)
    assert [one.structure for one in sheet.structures] == ["liver", "cyst", "foreground mean"]
    by_patient = {}
    for row in scores:
        if row.structure == "liver":
            by_patient.setdefault(PATIENTS[row.case], []).append(row.dice)
    values = np.array([np.mean(dice) for dice in by_patient.values()])
    interval = mean_interval(values, QUICK)
    dice = sheet.structures[0].means["dice"]
    assert dice.mean == pytest.approx(values.mean())
    assert (dice.low, dice.high) == pytest.approx((interval.low, interval.high))


def test_the_foreground_of_a_case_leaves_out_what_it_lacks():
    scores = [Row(CaseId("c0"), "liver", 0.8), Row(CaseId("c0"), "cyst", math.nan), Row(CaseId("c1"), "liver", 0.6)]
    sheet = made([*scores, Row(CaseId("c1"), "cyst", 0.4)])
    assert sheet.structures[-1].means["dice"].mean == pytest.approx((0.8 + 0.5) / 2)
    assert sheet.structures[1].means["dice"].cases == 1


def test_the_sheet_of_a_training_knows_patients_and_attributes_of_the_data_set():
    plain = listed({case: f"p{number // 2}" for number, case in enumerate(PATIENTS)})
    cases = [replace(one, attributes={"site": "AB"[number // 2 % 2]}) for number, one in enumerate(plain.cases)]
    found = validation_sheet(rows(), dataset(plain.folder, cases))
    assert (found.cases, found.patients) == (35, 18)
    assert [group.patients for group in found.attributes[0].groups] == [9, 9]
    assert validation_sheet([], plain) is None


def test_nobody_has_the_structure():
    sheet = made([Row(CaseId("c0"), "cyst", math.nan)])
    assert sheet.structures[0].means["dice"].model_dump() == {
        "mean": None, "low": None, "high": None, "patients": 0, "cases": 0,
    }  # fmt: skip


def test_groups_of_ten_have_a_mean_and_those_of_fewer_than_five_no_name():
    number = {case: int(name.split()[-1]) for case, name in PATIENTS.items()}
    site = {case: "A" if n < 14 else "B" if n < 21 else "MARKER" if n < 24 else "C" for case, n in number.items()}
    sheet = made(rows(), {"site": site, "name": {case: f"MARKER {n}" for case, n in number.items()}})
    (one,) = sheet.attributes
    assert [(group.value, group.patients, group.mean is None) for group in one.groups] == [
        ("A", 14, False), ("B", 7, True), ("C", 6, True),
    ]  # fmt: skip
    assert one.other == 3
    text = sheet.model_dump_json()
    assert "MARKER" not in text
    assert "secret" not in text
