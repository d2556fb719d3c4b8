import math

import numpy as np
import pytest
from factories import geometry, scheme

from medseg.core.volume import LabelMap
from medseg.metrics.empties import Status
from medseg.metrics.table import score_case

GRID = geometry((6, 6, 6))


def score(in_predicted, in_reference):
    maps = []
    for filled in (in_predicted, in_reference):
        array = np.zeros(GRID.shape, np.uint8)
        array[2:4, 2:4, 2:4] = filled
        maps.append(LabelMap(array, GRID))
    (row,) = score_case("case", *maps, scheme("one"))
    return row


@pytest.mark.parametrize(
    ("in_predicted", "in_reference", "status"),
    [
        (True, True, Status.OK),
        (False, False, Status.BOTH_EMPTY),
        (False, True, Status.MISSED),
        (True, False, Status.FALSE_POSITIVE),
    ],
)
def test_status(in_predicted, in_reference, status):
    assert score(in_predicted, in_reference).status is status


def test_both_empty_has_no_overlap_and_no_distance():
    row = score(False, False)
    empty = (
        "dice",
        "iou",
        "precision",
        "recall",
        "f_beta",
        "mcc",
        "balanced_accuracy",
        "hd",
        "hd95",
        "assd",
        "masd",
        "nsd",
    )
    assert all(math.isnan(getattr(row, name)) for name in (*empty, "boundary_iou", "cl_dice"))
    assert (row.accuracy, row.specificity, row.volume_difference) == (1, 1, 0)


@pytest.mark.parametrize("sides", [(True, False), (False, True)])
def test_missed_and_false_positive_are_the_worst(sides):
    row = score(*sides)
    assert (row.dice, row.iou, row.precision, row.recall, row.nsd) == (0, 0, 0, 0, 0)
    assert (row.hd, row.hd95, row.assd, row.masd) == (math.inf,) * 4
    assert (row.f_beta, row.mcc, row.boundary_iou) == (0, 0, 0)


def test_a_reference_that_fills_the_image_has_no_specificity():
    full = LabelMap(np.ones(GRID.shape, np.uint8), GRID)
    (row,) = score_case("case", full, full, scheme("one"))
    assert math.isnan(row.specificity)
    assert (row.dice, row.hd95, row.nsd) == (1, 0, 1)
