import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.metrics.semantic import semantic_scores


@given(st.integers(0, 2**32 - 1))
def test_equal_to_sklearn_and_to_the_definition(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    predicted, true = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    scores = semantic_scores(metrics.confusion_matrix(true, predicted, labels=range(5)).T)
    held = np.unique(np.append(predicted, true))
    iou = metrics.jaccard_score(true, predicted, average=None, labels=held)
    assert scores.pixel_accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    assert scores.mean_iou == pytest.approx(iou.mean())
    weights = np.array([(true == value).mean() for value in held])
    assert scores.weighted_iou == pytest.approx((weights * iou).sum())
    assert scores.balanced_accuracy == pytest.approx(
        np.mean([(predicted[true == value] == value).mean() for value in np.unique(true)])
    )
    assert scores.classes == len(held)


def test_no_voxel_is_no_number():
    scores = semantic_scores(np.zeros((3, 3), np.int64))
    assert np.isnan(scores.mean_iou)
    assert scores.classes == 0
