from __future__ import annotations

import numpy as np
import pytest
from factories import prepared_arrays
from hypothesis import given
from hypothesis import strategies as st

from medseg.data.balance import ClassVoxels, class_weights, count_class_voxels, pair_chances


def counted(*rows, known=1000):
    voxels = np.array(rows)
    return ClassVoxels(voxels, np.full(voxels.shape, known))


def test_exclusive_classes_are_counted_with_the_background_first():
    target = np.zeros((3, 4, 5), np.uint8)
    target[0, 0], target[1, 1, :2], target[2] = 1, 2, 255
    found = count_class_voxels([prepared_arrays(target), prepared_arrays(np.zeros_like(target))], 2)
    assert found.voxels.tolist() == [[33, 5, 2], [60, 0, 0]]
    assert found.known.tolist() == [[40] * 3, [60] * 3]


def test_overlapping_targets_are_counted_one_by_one():
    masks = np.zeros((2, 3, 4, 5), np.uint8)
    masks[0, 0], masks[1, :2], masks[1, 2] = 1, 1, 255
    found = count_class_voxels([prepared_arrays(masks)], 2)
    assert found.voxels.tolist() == [[20, 40]]
    assert found.known.tolist() == [[60, 40]]


def test_large_targets_are_counted_in_slabs(monkeypatch):
    target = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (13, 9, 8))
    whole = count_class_voxels([prepared_arrays(target)], 2)
    monkeypatch.setattr("medseg.data.balance._VOXELS_AT_ONCE", 200)
    slabs = count_class_voxels([prepared_arrays(target)], 2)
    assert whole.voxels.tolist() == slabs.voxels.tolist() == [[int((target == n).sum()) for n in range(3)]]
    assert whole.known.tolist() == slabs.known.tolist()


def test_balanced_is_the_median_frequency_over_one_s_own():
    """Frequencies 0.9, 0.06 and 0.08: the last class fills 0.08 of the one case that holds it."""
    found = class_weights("balanced", counted([880, 40, 80], [920, 80, 0]), 1e9)
    expected = np.array([0.08 / 0.9, 0.08 / 0.06, 1.0])
    assert found == pytest.approx(tuple(expected / expected.mean()))


def test_inverse_frequency_counts_the_cases_without_the_class_too():
    found = class_weights("inverse_frequency", counted([880, 40, 80], [920, 80, 0]), 1e9)
    expected = 1 / np.array([0.9, 0.06, 0.04])
    assert found == pytest.approx(tuple(expected / expected.mean()))


def test_ignored_voxels_are_no_background():
    whole = ClassVoxels(np.array([[900, 100]]), np.array([[1000, 1000]]))
    half = ClassVoxels(np.array([[400, 100]]), np.array([[500, 500]]))
    assert class_weights("balanced", whole, 1e9) == pytest.approx((0.2, 1.8))
    assert class_weights("balanced", half, 1e9) == pytest.approx((0.4, 1.6))


def test_the_ratio_is_bounded_and_the_order_kept():
    background, organ, lesion = class_weights("inverse_frequency", counted([989, 10, 1]), 10.0)
    assert lesion / background == pytest.approx(10)
    assert background < organ < lesion
    assert class_weights("inverse_frequency", counted([989, 10, 1]), 1.0) == pytest.approx((1, 1, 1))


def test_a_class_that_is_nowhere_weighs_as_much_as_the_rarest():
    weights = class_weights("balanced", counted([900, 100, 0]), 100.0)
    assert weights[1] == pytest.approx(weights[2])
    assert class_weights("balanced", counted([0, 0]), 10.0) == (1.0, 1.0)


@given(
    st.lists(st.lists(st.integers(0, 500), min_size=3, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["balanced", "inverse_frequency"]),
    st.floats(1, 50),
)
def test_weights_are_positive_with_a_mean_of_one_and_within_their_ratio(rows, rule, ratio):
    weights = np.array(class_weights(rule, counted(*rows, known=2000), ratio))
    assert np.isfinite(weights).all()
    assert weights.min() > 0
    assert weights.mean() == pytest.approx(1)
    assert weights.max() / weights.min() <= ratio * (1 + 1e-9)


VOXELS = np.array([[100, 0], [300, 0], [100, 1], [0, 0]])


def test_each_structure_alike_and_then_each_case_that_holds_it():
    assert pair_chances(VOXELS, "structure") == pytest.approx(
        np.array([[1 / 6, 0], [1 / 6, 0], [1 / 6, 1 / 2], [0, 0]])
    )


def test_each_case_alike_and_then_each_structure_in_it():
    expected = np.array([[1 / 3, 0], [1 / 3, 0], [1 / 6, 1 / 6], [0, 0]])
    assert pair_chances(VOXELS, "case") == pytest.approx(expected)


def test_each_voxel_alike():
    assert pair_chances(VOXELS, "voxel") == pytest.approx(VOXELS / 501)


def test_weights_make_a_structure_likelier():
    assert pair_chances(VOXELS, "structure", (1, 3)).sum(0) == pytest.approx([1 / 4, 3 / 4])
    assert pair_chances(VOXELS, "case", (1, 3))[2] == pytest.approx([1 / 12, 1 / 4])
    assert pair_chances(VOXELS, "voxel", (1, 100)).sum(0) == pytest.approx([500 / 600, 100 / 600])


@pytest.mark.parametrize("balance", ["structure", "case", "voxel"])
def test_without_any_structure_there_are_no_chances(balance):
    assert not pair_chances(np.zeros((3, 2), np.int64), balance).any()


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from(["structure", "case", "voxel"]),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
)
def test_chances_sum_to_one_over_what_is_there(rows, balance, weights):
    voxels = np.array(rows)
    chances = pair_chances(voxels, balance, weights)
    assert chances.sum() == pytest.approx(1 if voxels.any() else 0)
    assert ((chances > 0) == (voxels > 0)).all()
