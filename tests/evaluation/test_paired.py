import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.paired import holm, paired_difference, sign_flip_test, with_adjusted

FEW = Bootstrap(resamples=999)


def compared(one, other, patients=None):
    cases = [f"c{index}" for index in range(len(one))]
    names = patients or cases
    return paired_difference(
        ("liver", "dice"),
        dict(zip(cases, one, strict=True)),
        dict(zip(cases, other, strict=True)),
        dict(zip(cases, names, strict=True)),
        FEW,
    )


def test_difference_is_the_second_minus_the_first_over_patients():
    found = compared([0.5, 0.7, 0.9], [0.6, 0.8, 0.8], ["a", "a", "b"])
    assert (found.one, found.other) == pytest.approx((0.75, 0.75))
    assert found.difference == pytest.approx(0.0)
    assert (found.patients, found.cases, found.better, found.worse, found.equal) == (2, 3, 1, 1, 0)


def test_smaller_distances_are_better():
    values, names = ({"a": 3.0, "b": 1.0}, {"a": 2.0, "b": 2.0}), {"a": "a", "b": "b"}
    found = paired_difference(("liver", "hd95"), *values, names, FEW, higher_is_better=False)
    assert (found.difference, found.better, found.worse) == (0, 1, 1)
    three = paired_difference(("liver", "hd95"), {"a": 3.0}, {"a": 1.0}, names, FEW, higher_is_better=False)
    assert (three.difference, three.better, three.worse) == (-2, 1, 0)


def test_cases_that_only_one_model_has_are_left_out_and_counted():
    found = compared([0.5, math.nan, 0.9, math.nan], [0.6, 0.8, math.nan, math.nan])
    assert (found.cases, found.left_out) == (1, 2)
    assert math.isnan(found.p)


def test_nothing_in_common_is_no_number():
    found = paired_difference(("liver", "dice"), {"a": 0.5}, {"b": 0.5}, {"a": "1", "b": "2"}, FEW)
    assert math.isnan(found.difference)
    assert found.left_out == 2


@given(st.integers(0, 2**32 - 1))
def test_exact_test_equals_scipys(seed):
    rng = np.random.default_rng(seed)
    differences = rng.normal(0.3, 1, 8)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    )
    assert sign_flip_test(differences, FEW) == pytest.approx(expected.pvalue)


def test_drawn_patterns_come_near_the_exact_value():
    differences = np.random.default_rng(3).normal(0.4, 1, 12)
    exact = sign_flip_test(differences, Bootstrap(resamples=5000))
    assert sign_flip_test(differences, Bootstrap(resamples=4000)) == pytest.approx(exact, abs=0.02)


def test_no_difference_is_no_evidence():
    assert sign_flip_test(np.zeros(5), FEW) == 1.0
    assert sign_flip_test(np.zeros(40), FEW) == 1.0


def test_holm_as_in_statsmodels():
    # statsmodels 0.14.5, multipletests([0.01, 0.04, 0.03, 0.005], method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    adjusted = holm([0.01, math.nan])
    assert adjusted[0] == 0.01
    assert math.isnan(adjusted[1])


def test_adjusting_keeps_everything_else():
    rows = [compared([0.5] * 6, [0.6, 0.7, 0.6, 0.7, 0.6, 0.7]), compared([0.5] * 6, [0.6, 0.4, 0.6, 0.4, 0.6, 0.4])]
    first, second = with_adjusted(rows)
    assert first.p_adjusted == pytest.approx(2 * rows[0].p)
    assert second.p == rows[1].p
