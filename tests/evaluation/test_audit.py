import math

import numpy as np

from medseg.evaluation.audit import audit
from medseg.evaluation.intervals import Bootstrap

QUICK = Bootstrap(resamples=499)


def cohort(count=40, seed=0):
    rng = np.random.default_rng(seed)
    return {f"c{index}": float(value) for index, value in enumerate(rng.beta(18, 2, count))}


def own(dice):
    return {case: f"patient of {case}" for case in dice}


def test_a_planted_bias_is_found():
    dice = cohort()
    sex = {case: "FM"[index % 2] for index, case in enumerate(dice)}
    biased = {case: value - 0.1 * (sex[case] == "M") for case, value in dice.items()}
    (one,) = audit(biased, {"sex": sex}, own(dice), QUICK).attributes
    assert (one.worst, [group.patients for group in one.groups]) == ("M", [20, 20])
    assert one.p_adjusted < 0.05


def test_patients_are_counted_once_and_must_agree_with_themselves():
    dice = {f"c{index}": 0.5 + index / 100 for index in range(24)}
    patients = {case: f"p{index // 2}" for index, case in enumerate(dice)}
    site = {case: "A" if index < 12 else "B" for index, case in enumerate(dice)}
    site["c0"] = "B"  # and c1, of the same patient, is A
    (one,) = audit(dice, {"site": site}, patients, QUICK).attributes
    assert [(group.value, group.patients) for group in one.groups] == [("A", 5), ("B", 6)]
    assert one.unknown == 1


def test_what_makes_no_groups_is_left_out_and_said():
    dice = cohort(12)
    attributes = {
        "name": {case: f"MARKER^{case}" for case in dice},
        "site": dict.fromkeys(dice, "A"),
        "nobody": {"stranger": "x"},
        "sex": {case: "FM"[index % 2] for index, case in enumerate(dice)},
    }
    found = audit(dice, attributes, own(dice), QUICK)
    assert [one.attribute for one in found.attributes] == ["sex"]
    assert found.left_out == {
        "name": "nearly every patient has a value of their own", "site": "all patients have the same value",
        "nobody": "no patient with a score has it",
    }  # fmt: skip
    assert "MARKER" not in repr(found)


def test_cases_without_a_score_count_for_nobody():
    dice = {**cohort(10), "lost": math.nan}
    sex = {case: "FM"[index % 2] for index, case in enumerate(dice)}
    (one,) = audit(dice, {"sex": sex}, own(dice), QUICK).attributes
    assert sum(group.patients for group in one.groups) == 10
    assert math.isnan(one.p)  # groups of five are too small
