"""Against the definition in plain numpy, which sorts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax

from medseg.losses.cross_entropy import CrossEntropyLoss
from medseg.losses.topk import TopKLoss

WEIGHTS = (0.5, 2.0, 3.0)


def batch(exclusive, shape=(6, 7, 5)):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 3, *shape)).astype(np.float32)
    target = rng.integers(0, 3, (2, *shape)) if exclusive else rng.integers(0, 2, (2, 3, *shape))
    target[..., 0] = 255
    return logits, target.astype(np.uint8)


def by_hand(logits, target, share, weights, exclusive):
    classes = np.arange(3).reshape(3, *[1] * (logits.ndim - 2))
    if exclusive:
        one_hot = target[:, None] == classes
        nats = -(log_softmax(logits.astype(float), axis=1) * one_hot).sum(1)
        counted = (one_hot * np.array(weights)[classes]).sum(1)
    else:
        probabilities = expit(logits.astype(float))
        nats = -np.log(np.where(target == 1, probabilities, 1 - probabilities))
        counted = np.broadcast_to(np.array(weights)[classes], target.shape)
    known = target != 255
    nats, counted = nats[known], counted[known]
    order = np.argsort(-nats * counted)[: max(1, int(share * nats.size))]
    return (nats * counted)[order].sum() / counted[order].sum()


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("shape", [(6, 7, 5), (9, 8)])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_hardest_voxels_are_those_that_sorting_finds(exclusive, shape, share, weights):
    logits, target = batch(exclusive, shape)
    loss = TopKLoss(share, None if weights is None else torch.tensor(weights), exclusive=exclusive)
    expected = by_hand(logits, target, share, weights or (1, 1, 1), exclusive)
    assert loss(torch.from_numpy(logits), torch.from_numpy(target)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("exclusive", [True, False])
def test_all_voxels_are_cross_entropy(exclusive):
    logits, target = map(torch.from_numpy, batch(exclusive))
    weights = torch.tensor(WEIGHTS)
    plain = CrossEntropyLoss(weights, exclusive=exclusive)(logits, target)
    torch.testing.assert_close(TopKLoss(1.0, weights, exclusive=exclusive)(logits, target), plain)


@pytest.mark.parametrize("exclusive", [True, False])
def test_easy_voxels_get_no_gradient(exclusive):
    logits, target = map(torch.from_numpy, batch(exclusive))
    logits.requires_grad_()
    TopKLoss(0.1, exclusive=exclusive)(logits, target).backward()
    touched = logits.grad.ne(0).any(1) if exclusive else logits.grad.ne(0)
    assert int(touched.sum()) == int((target != 255).sum()) // 10
