"""How far two runtimes agree."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import run_config, scheme

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Region
from medseg.inference.export_agreement import compare_cases, compare_windows
from medseg.transforms.preprocess import Prepared, Restoration

SHAPE = (16, 16, 16)
WHOLE = (slice(0, 16),) * 3


class Says:
    """Gives the logits that a function makes of a window."""

    device = torch.device("cpu")

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, windows):
        return self.logits(windows)


def hot(images, shift=0.0):
    """Sure of the class whose index the image holds."""
    index = (images[:, 0] + shift).round().long().clamp(0, 2)
    return 10.0 * torch.nn.functional.one_hot(index, 3).movedim(-1, 1).float()


def case(labels, ignored=()):
    grid, target = Geometry.from_spacing(SHAPE), labels.astype(np.uint8)
    for place in ignored:
        target[place] = 255
    return Prepared(labels[None].astype(np.float32), target, Restoration.unchanged(grid))


def blocks(size=8):
    labels = np.zeros(SHAPE)
    labels[:size] = 1
    labels[12:] = 2
    return labels


def test_equal_runtimes_agree():
    images = [np.random.default_rng(0).integers(0, 3, (1, *SHAPE)).astype(np.float32)]
    found = compare_windows((Says(hot), Says(hot)), images, exclusive=True)
    assert (found.windows, found.equal_voxels, found.largest_difference) == (1, 1.0, 0.0)


def test_labels_and_logits_that_differ_are_counted():
    image = np.zeros((1, *SHAPE), np.float32)
    image[0, :4] = 1
    found = compare_windows((Says(hot), Says(lambda images: hot(images * 0) * 1.5)), [image], exclusive=True)
    assert found.equal_voxels == 0.75
    assert found.largest_difference == 15


def test_targets_that_may_overlap_are_compared_one_by_one():
    image = np.zeros((1, *SHAPE), np.float32)
    runners = (Says(lambda images: hot(images) - 5), Says(lambda images: hot(images, 1) - 5))
    assert compare_windows(runners, [image], exclusive=False).equal_voxels == pytest.approx(1 / 3)


def test_dice_is_that_of_each_structure_over_the_cases_that_hold_it():
    perfect, blind = Says(hot), Says(lambda images: hot(images * (images == 1)))
    only_one = np.zeros(SHAPE)
    only_one[:8] = 1
    found = compare_cases(run_config(), (perfect, blind), [case(blocks()), case(only_one)], scheme())
    assert (found.cases, found.dice, found.dice_exported) == (2, (1.0, 1.0), (1.0, 0.0))
    assert found.means == (1.0, 0.5)
    assert found.equal_voxels == 1 - 4 / 16 / 2


def test_ignored_voxels_do_not_count():
    # The image says 1 in the first half, of which a half is ignored: the prediction there is neither right nor wrong.
    labels = blocks()
    late = Says(lambda images: hot(images * (torch.arange(16).view(1, 1, 16, 1, 1) >= 4)))
    found = compare_cases(run_config(), (Says(hot), late), [case(labels, [slice(0, 4)])], scheme())
    assert found.dice_exported == (1.0, 1.0)
    assert found.equal_voxels == 0.75


def test_a_structure_that_no_case_holds_has_no_score():
    found = compare_cases(run_config(), (Says(hot), Says(hot)), [case(np.zeros(SHAPE))], scheme())
    assert all(map(math.isnan, found.dice))
    assert all(map(math.isnan, found.means))


def test_regions_are_scored_as_masks():
    regions = [{"name": "both", "structures": ("one", "two")}, {"name": "two", "structures": ("two",)}]
    labels = {"structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}], "regions": regions}
    known = LabelScheme(scheme().structures, (Region("both", ("one", "two")), Region("two", ("two",))))
    masks = np.stack([blocks() > 0, blocks() == 2])
    perfect = Says(lambda images: torch.cat([images - 0.5, images - 1.5], dim=1))
    whole = case(blocks())
    found = compare_cases(
        run_config(labels=labels), (perfect, perfect), [replace(whole, target=masks.astype(np.uint8))], known
    )
    assert found.dice == (1.0, 1.0)
