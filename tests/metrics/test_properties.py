"""What holds for any pair of label maps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from factories import scheme
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap
from medseg.metrics.empties import Status
from medseg.metrics.table import ScoreSettings, score_case

SIDES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)
PAIRS = SIDES.flatmap(lambda shape: hnp.arrays(np.uint8, (2, *shape), elements=st.integers(0, 2)))
SPACINGS = st.tuples(*[st.floats(0.3, 5)] * 3)
DISTANCES = ("hd", "hd95", "assd", "masd")
SAME = (
    "status",
    "dice",
    "iou",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "mcc",
    "f_beta",
    "hd",
    "hd95",
    "assd",
    "masd",
    "nsd",
    "boundary_iou",
    "tp",
    "fp",
    "fn",
    "tn",
)


def rows(predicted, reference, spacing=(1.0, 1.5, 2.5), tolerance=1.5):
    grid = Geometry.from_spacing(predicted.shape, spacing)
    return score_case("case", LabelMap(predicted, grid), LabelMap(reference, grid), scheme(), ScoreSettings(tolerance))


def close(one, other, names=SAME):
    for row, twin in zip(one, other, strict=True):
        for name in names:
            value = getattr(row, name)
            same = value == getattr(twin, name)
            assert same or value == pytest.approx(getattr(twin, name), nan_ok=True), name


@given(PAIRS)
def test_identities(pair):
    for row in rows(*pair):
        if row.status is not Status.BOTH_EMPTY:
            assert row.dice == pytest.approx(2 * row.iou / (1 + row.iou))
            assert 0 <= row.iou <= row.dice <= 1
            assert 0 <= row.nsd <= 1
        if row.status is Status.OK:
            assert 0 <= row.hd95 <= row.hd <= row.diagonal
            assert 0 <= min(row.assd, row.masd) <= max(row.assd, row.masd) <= row.hd
            mean = 2 / (1 / row.precision + 1 / row.recall) if row.tp else 0
            assert row.dice == pytest.approx(mean)


@given(PAIRS)
def test_swapping_the_sides_swaps_precision_and_recall(pair):
    predicted, reference = pair
    for row, twin in zip(rows(predicted, reference), rows(reference, predicted), strict=True):
        close([row], [twin], ("dice", "iou", "accuracy", "mcc", *DISTANCES, "nsd", "boundary_iou", "tp", "tn"))
        assert (row.fp, row.volume_difference) == (twin.fn, -twin.volume_difference)
        if row.status is Status.OK:
            assert (row.precision, row.recall) == (twin.recall, twin.precision)


@given(PAIRS)
def test_a_perfect_prediction_is_perfect(pair):
    for row in rows(pair[0], pair[0]):
        if row.status is Status.OK:
            assert (row.dice, row.iou, row.accuracy, row.f_beta, row.nsd, row.boundary_iou) == (1, 1, 1, 1, 1, 1)
            assert (row.hd, row.hd95, row.assd, row.masd, row.volume_difference) == (0, 0, 0, 0, 0)
            assert math.isnan(row.mcc) if row.tn == 0 else row.mcc == pytest.approx(1)


@given(PAIRS, st.sets(st.integers(0, 2)))
def test_flips_change_nothing(pair, axes):
    close(rows(*pair), rows(*(np.flip(side, tuple(axes)) for side in pair)))


@given(PAIRS, st.permutations([0, 1, 2]))
def test_the_order_of_axes_changes_nothing(pair, order):
    spacing = (1.0, 1.5, 2.5)
    turned = tuple(spacing[axis] for axis in order)
    close(rows(*pair, spacing), rows(*(side.transpose(order) for side in pair), turned))


@given(PAIRS, st.integers(1, 3))
def test_padding_changes_background_only(pair, width):
    around = [(width if n > 1 else 0,) * 2 for n in pair.shape[1:]]  # a flat image stays flat
    padded = [np.pad(side, around) for side in pair]
    kept = (
        "status",
        "dice",
        "iou",
        "precision",
        "recall",
        "f_beta",
        *DISTANCES,
        "nsd",
        "boundary_iou",
        "tp",
        "fp",
        "fn",
    )
    close(rows(*pair), rows(*padded), kept)


@given(PAIRS, SPACINGS, st.floats(0.2, 8))
def test_distances_scale_with_the_spacing(pair, spacing, factor):
    scaled = tuple(side * factor for side in spacing)
    for row, twin in zip(rows(*pair, spacing), rows(*pair, scaled), strict=True):
        for name in DISTANCES:
            assert getattr(row, name) * factor == pytest.approx(getattr(twin, name), nan_ok=True)
        assert row.volume_reference * factor**3 == pytest.approx(twin.volume_reference)
        unscaled = dict.fromkeys((*DISTANCES, "nsd", "boundary_iou"), 0)
        close([replace(row, **unscaled)], [replace(twin, **unscaled)])


@given(PAIRS)
def test_relabelling_changes_only_names(pair):
    grid = Geometry.from_spacing(pair.shape[1:], (1.0, 1.5, 2.5))
    swapped = [LabelMap(np.array([0, 2, 1], np.uint8)[side], grid) for side in pair]
    close(rows(*pair), score_case("case", *swapped, scheme(), ScoreSettings(1.5))[::-1])


@given(PAIRS, st.floats(0, 6), st.floats(0, 6))
def test_a_wider_tolerance_never_agrees_less(pair, one, other):
    small, large = sorted((one, other))
    for row, twin in zip(rows(*pair, tolerance=small), rows(*pair, tolerance=large), strict=True):
        assert not row.nsd > twin.nsd
