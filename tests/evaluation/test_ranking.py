import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.ranking import ranking

FEW = Bootstrap(resamples=500)


def test_a_model_that_is_better_for_everybody_is_always_first():
    values = np.random.default_rng(0).random((3, 20)) + np.array([[0], [5], [2]])
    found = ranking(("a", "b", "c"), values, FEW)
    assert found.ranks.tolist() == [3, 1, 2]
    assert found.shares.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert found.agreement == 1.0


def test_distances_are_better_when_small():
    assert ranking(("a", "b"), np.array([[1.0, 1.0], [2.0, 2.0]]), FEW, higher_is_better=False).ranks.tolist() == [1, 2]


def test_equal_models_share_their_ranks():
    found = ranking(("a", "b"), np.full((2, 5), 0.5), FEW)
    assert found.ranks.tolist() == [1.5, 1.5]
    assert found.shares.tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("patients", [20, 33, 64])
def test_equal_models_share_their_ranks_whatever_the_order_of_sums(patients):
    scores = np.random.default_rng(0).uniform(size=patients)
    found = ranking(("a", "b", "c"), np.stack([scores, scores, scores - 0.1]), FEW)
    assert found.ranks.tolist() == [1.5, 1.5, 3]
    assert found.shares == pytest.approx(np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]))
    turned = ranking(("a", "b"), np.stack([scores, scores[::-1]]), FEW)
    assert turned.ranks.tolist() == [1.5, 1.5]


@given(st.integers(0, 2**32 - 1))
def test_each_model_takes_one_rank_and_each_rank_one_model(seed):
    values = np.random.default_rng(seed).integers(0, 4, (4, 7)).astype(float)
    shares = ranking("abcd", values, Bootstrap(resamples=50)).shares
    assert shares.sum(axis=0) == pytest.approx(np.ones(4))
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))


def test_one_model_has_no_agreement():
    assert math.isnan(ranking(("a",), np.ones((1, 3)), FEW).agreement)
