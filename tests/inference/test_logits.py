"""Averaging logits: exact beside the whole at once, and the same labels with and without probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medseg.inference.blocks import SlabResampler
from medseg.inference.logits import LogitBlock, RankedBlock

BEFORE, AFTER = (9, 7, 8), (14, 10, 5)


def logits(channels=4, seed=0):
    return 5 * torch.randn((channels, *BEFORE), generator=torch.Generator().manual_seed(seed))


def blocks(values, after=AFTER, axis=0, nearest_axis=None, step=2):
    resampler = SlabResampler(BEFORE, after, axis, nearest_axis)
    for start in range(0, BEFORE[axis], step):
        yield from resampler.blocks(start, values.narrow(1 + axis, start, min(step, BEFORE[axis] - start)))


def joined(make, values, axis=0, **options):
    parts = [
        torch.stack([make(b).channel(c) for c in range(len(values))]) for b in blocks(values, axis=axis, **options)
    ]
    return torch.cat(parts, dim=1 + axis)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_probabilities_of_interpolated_logits(exclusive, axis):
    values = logits()
    whole = F.interpolate(values[None], AFTER, mode="trilinear", align_corners=False)[0]
    wanted = whole.softmax(dim=0) if exclusive else whole.sigmoid()
    assert torch.allclose(joined(lambda b: LogitBlock(b, exclusive), values, axis), wanted, atol=1e-5)


def test_ranked_channels_are_the_logits():
    values = logits()
    whole = F.interpolate(values[None], AFTER, mode="trilinear", align_corners=False)[0]
    assert torch.allclose(joined(RankedBlock, values), whole, atol=1e-5)


@pytest.mark.parametrize("exclusive", [True, False])
def test_bounds_hold(exclusive):
    for block in blocks(logits(channels=3, seed=1)):
        one = LogitBlock(block, exclusive)
        for channel, bound in enumerate(one.peaks()):
            assert float(one.channel(channel).max()) <= bound + 1e-6
            assert 0 < bound <= 1


def test_a_channel_that_never_wins_is_bounded_low():
    values = torch.zeros((2, *BEFORE))
    values[1] = -20
    for block in blocks(values):
        assert RankedBlock(block).peaks()[1] < 1e-6


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("exclusive", [True, False])
def test_values_that_are_not_finite_are_told(bad, exclusive):
    values = logits()
    values[1, 4, 3, 2] = bad
    peaks = [peak for block in blocks(values) for peak in LogitBlock(block, exclusive).peaks()]
    assert any(np.isnan(peaks))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("nearest", [0, 1, 2])
def test_one_axis_takes_the_nearest(axis, nearest):
    values, after = logits(), (14, 3, 11)
    picked = np.floor((np.arange(after[nearest]) + 0.5) * BEFORE[nearest] / after[nearest]).astype(int)
    taken = values.index_select(1 + nearest, torch.from_numpy(picked))
    wanted = F.interpolate(taken[None], after, mode="trilinear", align_corners=False)[0]
    parts = [
        torch.stack([block.channel(c) for c in range(len(values))]) for block in blocks(values, after, axis, nearest)
    ]
    assert torch.allclose(torch.cat(parts, dim=1 + axis), wanted, atol=1e-5)
