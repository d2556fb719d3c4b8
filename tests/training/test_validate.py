"""Dice while training: means, ignored voxels, overlapping targets, no cases at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import prepared_arrays, scheme
from torch import nn

from medseg.core.labels import LabelScheme, Region
from medseg.training.distributed import Process
from medseg.training.validate import Validator

ALONE = Process(0, 1, torch.device("cpu"))
NETWORK = nn.Identity()


def block(*values: int) -> np.ndarray:
    """One row of voxels."""
    return np.array(values, np.uint8).reshape(-1, 1, 1)


def copied(_network, image):
    """Says what the image holds."""
    return image[0].astype(np.uint8)


def case(target: np.ndarray, predicted: np.ndarray):
    return prepared_arrays(target, image=predicted)


def test_means_are_over_cases_and_then_over_structures():
    cases = [case(block(1, 1, 2, 0), block(1, 1, 2, 0)), case(block(1, 1, 0, 0), block(1, 0, 0, 1))]
    report = Validator(cases, scheme(), copied, ALONE)(NETWORK)
    assert report.dice == pytest.approx({"one": 0.75, "two": 1.0})
    assert report.mean_dice == pytest.approx(0.875)


def test_ignored_voxels_do_not_count():
    report = Validator([case(block(1, 255, 255, 0), block(1, 1, 2, 0))], scheme(), copied, ALONE)(NETWORK)
    assert report.dice["one"] == 1
    assert np.isnan(report.dice["two"])


def test_targets_may_overlap():
    regions = LabelScheme(scheme().structures, (Region("both", ("one", "two")), Region("inner", ("two",))))
    target = np.stack([block(1, 1, 0, 255), block(0, 1, 0, 255)])
    predicted = np.stack([block(1, 1, 0, 1), block(1, 1, 0, 0)])
    arrays = prepared_arrays(target, image=np.zeros((4, 1, 1)))
    report = Validator([arrays], regions, lambda *_: predicted, ALONE)(NETWORK)
    assert report.dice == pytest.approx({"both": 1.0, "inner": 2 / 3})


def test_a_case_without_structures_has_no_dice_but_a_picture():
    report = Validator([case(block(0, 0), block(0, 0))], scheme(), copied, ALONE)(NETWORK)
    assert np.isnan(report.mean_dice)
    assert report.picture().ndim == 3


def test_without_cases_there_is_nothing_to_draw():
    report = Validator([], scheme(), copied, ALONE)(NETWORK)
    assert np.isnan(report.mean_dice)
    assert report.picture is None


def test_scores_of_a_process_alone_stay_off_its_device():
    """MPS has no double precision."""
    arrays = case(block(1, 2), block(1, 2))
    report = Validator([arrays], scheme(), copied, Process(0, 1, torch.device("meta")))(NETWORK)
    assert report.mean_dice == 1


def test_at_most_so_many_cases_spread_over_all():
    seen = []

    def segment(_network, image):
        seen.append(int(image[0, 0, 0, 0]))
        return copied(_network, image)

    cases = [case(block(1), block(number)) for number in range(9)]
    Validator(cases, LabelScheme.from_names({str(n): n for n in range(1, 9)}), segment, ALONE, at_most=3)(NETWORK)
    assert seen == [0, 4, 8]
