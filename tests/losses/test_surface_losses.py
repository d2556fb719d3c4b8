"""Boundary and Hausdorff loss against MONAI's, which computes distances by scipy for one mask at a time."""

from __future__ import annotations

import pytest
import torch
from monai.losses import BoundaryLoss as MonaiBoundary
from monai.losses import HausdorffDTLoss as MonaiHausdorff
from monai.losses import LogHausdorffDTLoss as MonaiLogHausdorff

from medseg.losses.boundary import BoundaryLoss, boundary_losses
from medseg.losses.compound import DicePlusLoss
from medseg.losses.deep_supervision import DeepSupervisionLoss
from medseg.losses.dice import DiceLoss
from medseg.losses.hausdorff import LogHausdorffLoss, hausdorff_losses
from medseg.losses.maps import structure_maps
from medseg.losses.ramp import Ramp, set_progress

FAR = 60
both_kinds = pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "overlapping"])
shapes = pytest.mark.parametrize("shape", [(9, 10, 8), (13, 11)])


def batch(exclusive, shape):
    """Structures large enough to have an inside, and predictions that miss them by a little."""
    generator = torch.Generator().manual_seed(0)
    blobs = torch.randn(2, 3, *shape, generator=generator)
    for axis in range(2, blobs.ndim):
        blobs = (blobs.roll(1, axis) + blobs + blobs.roll(-1, axis)) / 2
    target = blobs.argmax(1) if exclusive else blobs > 0.3
    logits = blobs * 2 + torch.randn(blobs.shape, generator=generator)
    return logits, target.to(torch.uint8)


def of_structures(logits, target, exclusive):
    """Probabilities and one-hot reference as MONAI wants them, without background."""
    if not exclusive:
        return logits.sigmoid(), target.float()
    return logits.softmax(1)[:, 1:], torch.stack([target == 1, target == 2], 1).float()


@both_kinds
@shapes
def test_boundary_is_monai_s_less_the_reference_s_own(exclusive, shape):
    """Their surface runs through the voxels just inside, ours half a voxel farther out; and ours is 0 at best."""
    logits, target = batch(exclusive, shape)
    probabilities, reference = of_structures(logits, target, exclusive)
    theirs = MonaiBoundary()
    expected = theirs(probabilities, reference) - theirs(reference, reference) - (probabilities - reference).mean() / 2
    ours = boundary_losses(structure_maps(logits, target, exclusive=exclusive), FAR)
    torch.testing.assert_close(ours.mean(), expected)
    torch.testing.assert_close(BoundaryLoss(FAR, exclusive=exclusive)(logits, target), expected)


@both_kinds
@shapes
@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_hausdorff_is_monai_s(exclusive, shape, alpha):
    logits, target = batch(exclusive, shape)
    probabilities, reference = of_structures(logits, target, exclusive)
    expected = MonaiHausdorff(alpha=alpha, include_background=True)(probabilities, reference)
    ours = hausdorff_losses(structure_maps(logits, target, exclusive=exclusive), alpha, FAR)
    torch.testing.assert_close(ours.mean(), expected)
    logarithm = MonaiLogHausdorff(alpha=alpha, include_background=True)(probabilities, reference)
    torch.testing.assert_close(LogHausdorffLoss(alpha, FAR, exclusive=exclusive)(logits, target), logarithm)


@pytest.mark.parametrize("losses", [boundary_losses, lambda maps, reach: hausdorff_losses(maps, 2.0, reach)])
@both_kinds
def test_a_batch_costs_the_mean_of_its_samples(losses, exclusive):
    logits, target = batch(exclusive, (9, 10, 8))
    singles = [losses(structure_maps(logits[n : n + 1], target[n : n + 1], exclusive=exclusive), 5) for n in range(2)]
    whole = losses(structure_maps(logits, target, exclusive=exclusive), 5)
    torch.testing.assert_close(whole, torch.stack(singles).mean(0))


@pytest.mark.parametrize("losses", [boundary_losses, lambda maps, reach: hausdorff_losses(maps, 2.0, reach)])
def test_an_error_far_away_costs_more(losses):
    target = torch.zeros(1, 20, 20, dtype=torch.uint8)
    target[0, 2:5, 2:5] = 1
    costs = []
    for place in (6, 9, 14, 19):
        logits = torch.stack([target == 0, target == 1], 1).float() * 20
        logits[0, :, place, place] = torch.tensor([0.0, 20.0])
        costs.append(losses(structure_maps(logits, target, exclusive=True), 12).item())
    assert 0 < costs[0] < costs[1] < costs[2]
    assert costs[3] == pytest.approx(costs[2], rel=1e-3)  # both lie beyond the reach


def test_a_structure_of_one_voxel_is_worth_finding():
    target = torch.zeros(1, 9, 9, dtype=torch.uint8)
    target[0, 4, 4] = 1
    logits = torch.stack([torch.ones(1, 9, 9), torch.zeros(1, 9, 9)], 1) * 40
    missed = boundary_losses(structure_maps(logits, target, exclusive=True), 5)
    assert missed.item() == pytest.approx(0.5 / 81)


@pytest.mark.parametrize("make", [BoundaryLoss, LogHausdorffLoss])
def test_class_weights_choose_the_structure(make):
    logits, target = batch(exclusive=True, shape=(9, 10, 8))
    first = make(class_weights=torch.tensor([1.0, 1.0, 1e-6]), exclusive=True)(logits, target)
    merged = torch.stack([logits[:, [0, 2]].logsumexp(1), logits[:, 1]], 1)
    alone = make(exclusive=True)(merged, (target == 1).byte())
    torch.testing.assert_close(first, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [BoundaryLoss, LogHausdorffLoss])
def test_the_weight_rises_with_the_training(make):
    logits, target = batch(exclusive=True, shape=(9, 10, 8))
    loss = DeepSupervisionLoss(DicePlusLoss(DiceLoss(exclusive=True), make(exclusive=True), Ramp(2.0, 0.5)))
    full = loss(logits, target)
    values = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        set_progress(loss, progress)
        values.append(loss(logits, target))
    dice = DiceLoss(exclusive=True)(logits, target)
    torch.testing.assert_close(full, dice + 2 * make(exclusive=True)(logits, target))
    torch.testing.assert_close(values[0], dice)
    torch.testing.assert_close(values[1], (dice + full) / 2)
    torch.testing.assert_close(torch.stack(values[2:]), torch.stack([full, full]))


def test_progress_does_not_matter_to_other_losses():
    loss = DiceLoss(exclusive=True)
    set_progress(loss, 0.3)
    assert Ramp(0.7, 0.0)() == 0.7
