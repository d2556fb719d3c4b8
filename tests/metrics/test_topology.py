import numpy as np
import pytest

from medseg.metrics.topology import cl_dice, skeleton


def flat(rows):
    return np.array(rows, bool)[..., None]


def test_metrics_reloaded_small_2():
    reference, predicted = np.zeros((14, 14, 1), bool), np.zeros((14, 14, 1), bool)
    reference[1:4, 1:2] = reference[3:4, 1:4] = True
    predicted[3:4, 1:4] = True
    assert cl_dice(predicted, reference) == pytest.approx(0.67, abs=0.01)


def test_a_thicker_wall_costs_nothing_and_a_gap_does():
    vessel = np.zeros((40, 9, 9), bool)
    vessel[5:35, 4, 4] = True
    thick = np.zeros_like(vessel)
    thick[5:35, 3:6, 3:6] = True
    broken = vessel.copy()
    broken[15:25] = False
    assert cl_dice(thick, vessel) == pytest.approx(1.0, abs=0.02)
    assert cl_dice(broken, vessel) == pytest.approx(2 * (2 / 3) / (1 + 2 / 3), abs=1e-9)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_no_tube_vanishes(width):
    tube = np.zeros((9, 9, 24), bool)
    tube[2 : 2 + width, 2 : 2 + width, 2:22] = True
    assert skeleton(tube).any()
    assert cl_dice(tube, tube) == 1.0


def test_each_part_keeps_a_centre_line():
    both, half = np.zeros((20, 9, 24), bool), np.zeros((20, 9, 24), bool)
    both[2:4, 2:4, 2:22] = both[12:15, 2:5, 2:22] = True
    half[12:15, 2:5, 2:22] = True
    precision, sensitivity = 1.0, skeleton(half).sum() / skeleton(both).sum()
    assert skeleton(both)[:10].any()
    assert cl_dice(half, both) == pytest.approx(2 * precision * sensitivity / (precision + sensitivity))


def test_missing_sides():
    one, none = np.ones((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    assert np.isnan(cl_dice(none, none))
    assert cl_dice(one, none) == 0.0
    assert cl_dice(none, one) == 0.0


def test_lines_that_never_meet_score_nothing():
    one, other = np.zeros((9, 9, 1), bool), np.zeros((9, 9, 1), bool)
    one[2, 1:8], other[6, 1:8] = True, True
    assert cl_dice(one, other) == 0.0


def test_a_single_row_is_its_own_centre_line():
    row = np.zeros((9, 1, 1), bool)
    row[2:5] = True
    assert (skeleton(row) == row).all()
