import math

import numpy as np
import pytest
from scipy import stats

from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.subgroups import audit_subgroups, band_of, independence_test

FEW = Bootstrap(resamples=999)


def people(count, rng):
    return {f"p{index}": float(value) for index, value in enumerate(rng.beta(18, 2, count))}


def test_a_planted_bias_is_found_and_named():
    rng = np.random.default_rng(0)
    scores = people(60, rng)
    sex = {patient: "FM"[index % 2] for index, patient in enumerate(scores)}
    biased = {patient: score - 0.1 * (sex[patient] == "F") for patient, score in scores.items()}
    (audit,) = audit_subgroups(biased, {"sex": sex}, FEW)
    assert audit.worst == "F"
    assert audit.gap == pytest.approx(0.1, abs=0.05)
    assert audit.p < 0.01
    assert audit.equity_scaled < np.mean(list(biased.values()))


def test_shuffled_groups_raise_false_alarms_at_the_nominal_rate():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        samples = np.split(rng.beta(18, 2, 40), [13, 27])
        alarms += independence_test(samples, Bootstrap(resamples=199)) <= 0.05
    low, high = stats.binom.interval(0.999, 300, 0.05)
    assert low <= alarms <= high


def test_p_is_that_of_scipys_permutation_test():
    rng = np.random.default_rng(2)
    samples = [rng.normal(0, 1, 12), rng.normal(0.8, 1, 9)]
    expected = stats.permutation_test(
        samples, lambda a, b, axis: np.abs(a.mean(axis=axis) - b.mean(axis=axis)), vectorized=True,
        n_resamples=9999, alternative="greater", rng=0,
    ).pvalue  # fmt: skip
    assert independence_test(samples, Bootstrap(resamples=9999)) == pytest.approx(expected, abs=0.01)


def test_small_groups_are_shown_and_not_judged():
    scores = people(25, np.random.default_rng(3))
    site = {patient: "A" if index < 12 else "B" if index < 22 else "C" for index, patient in enumerate(scores)}
    (audit,) = audit_subgroups(scores, {"site": site}, FEW)
    assert [(one.value, one.patients, one.is_judged) for one in audit.groups] == [
        ("A", 12, True), ("B", 10, True), ("C", 3, False)
    ]  # fmt: skip
    alone = audit_subgroups(scores, {"site": dict.fromkeys(scores, "A")}, FEW)[0]
    assert alone.worst is None
    assert math.isnan(alone.p)


def test_unknown_values_and_missing_scores_are_counted_or_left_out():
    scores = {**people(12, np.random.default_rng(4)), "lost": math.nan}
    (audit,) = audit_subgroups(scores, {"sex": {"p0": "F", "p1": ""}}, FEW)
    assert audit.unknown == 11
    assert sum(one.patients for one in audit.groups) == 1


def test_many_attributes_are_corrected_together():
    rng = np.random.default_rng(5)
    scores = people(40, rng)
    attributes = {name: dict(zip(scores, rng.permutation(["x", "y"] * 20), strict=True)) for name in "abc"}
    audits = audit_subgroups(scores, attributes, FEW)
    assert all(one.p_adjusted >= one.p for one in audits)
    assert min(one.p_adjusted for one in audits) == pytest.approx(min(1, 3 * min(one.p for one in audits)))


@pytest.mark.parametrize(("age", "band"), [(12, "under 20"), (20, "20 to 39"), (59, "40 to 59"), (60, "60 and over")])
def test_ages_fall_into_bands(age, band):
    assert band_of(age, (20, 40, 60)) == band


def test_bands_of_other_numbers():
    assert [band_of(value, (18.5, 25.0), whole=False) for value in (18.4, 18.5, 25.0)] == [
        "under 18.5", "18.5 to under 25", "25 and over"
    ]  # fmt: skip
    assert band_of(1, (1, 2, 3)) == "1 to under 2"


def test_groups_stand_in_the_order_of_their_numbers():
    scores = {f"p{index}": 0.5 for index in range(6)}
    bands = ["80 and over", "under 20", "20 to 39", "100 and over", "female", "3"]
    (audit,) = audit_subgroups(scores, {"band": dict(zip(scores, bands, strict=True))}, FEW)
    assert [one.value for one in audit.groups] == [
        "under 20", "3", "20 to 39", "80 and over", "100 and over", "female"
    ]  # fmt: skip
