"""Soft clDice against MONAI's, and on lines with a gap."""

from __future__ import annotations

import pytest
import torch
from monai.losses.cldice import SoftclDiceLoss as MonaiClDice
from monai.losses.cldice import soft_skel

from medseg.losses.cldice import ClDiceLoss, cldice_losses, soft_skeleton
from medseg.losses.dice import SMOOTH, DiceLoss
from medseg.losses.maps import StructureMaps, structure_maps

shapes = pytest.mark.parametrize("shape", [(9, 10, 8), (13, 11), (5, 1, 6), (2, 9)])


def batch(shape, classes=1):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, classes, *shape, generator=generator) * 2
    return logits, (logits + torch.randn(logits.shape, generator=generator) > 0).to(torch.uint8)


def line(gap=False):
    """A vessel three voxels wide through an image of 21 x 21, with a gap of two voxels or not."""
    mask = torch.zeros(1, 21, 21, dtype=torch.uint8)
    mask[0, 9:12, 3:18] = 1
    if gap:
        mask[0, :, 10:12] = 0
    return mask


@shapes
@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_the_skeleton_is_monai_s(shape, iterations):
    image = batch(shape, classes=2)[0].sigmoid()
    ours = soft_skeleton(image, torch.ones_like(image, dtype=torch.bool), iterations)
    torch.testing.assert_close(ours, soft_skel(image, iterations))


@shapes
def test_of_one_structure_it_is_monai_s(shape):
    """They take all structures and each sample together; of one structure in one sample both are the same."""
    logits, target = batch(shape)
    theirs = MonaiClDice(iter_=3, smooth_nr=SMOOTH, smooth_dr=SMOOTH, smooth=1e-9)(logits.sigmoid(), target.float())
    ours = cldice_losses(structure_maps(logits, target, exclusive=False), 3)
    torch.testing.assert_close(ours.squeeze(), theirs)
    torch.testing.assert_close(ClDiceLoss(3, exclusive=False)(logits, target), theirs)


def test_structures_are_averaged_by_their_weights():
    logits, target = batch((9, 10, 8), classes=2)
    weights = torch.tensor([1.0, 3.0])
    single = [cldice_losses(structure_maps(logits[:, [n]], target[:, [n]], exclusive=False), 3) for n in range(2)]
    whole = ClDiceLoss(3, weights, exclusive=False)(logits, target)
    torch.testing.assert_close(whole, (single[0] + 3 * single[1]).squeeze() / 4)


def test_a_gap_in_a_vessel_costs_more_than_by_dice():
    broken, whole = line(gap=True), line()
    logits = torch.stack([broken == 0, broken == 1], 1).float() * 40
    lines = cldice_losses(structure_maps(logits, whole, exclusive=True), 3).item()
    assert lines == pytest.approx(1 - 2 * (11 / 13) / (1 + 11 / 13), abs=1e-4)  # 11 of the line's 13 voxels are found


def test_a_wall_that_is_too_thick_costs_nothing():
    thick = torch.nn.functional.max_pool2d(line().float(), 3, 1, 1).byte()
    logits = torch.stack([thick == 0, thick == 1], 1).float() * 40
    maps = structure_maps(logits, line(), exclusive=True)
    assert cldice_losses(maps, 3).item() == pytest.approx(0, abs=0.02)
    assert DiceLoss(exclusive=True)(logits, line()).item() > 0.25


def test_the_line_goes_on_where_voxels_are_ignored():
    mask = line()
    valid = torch.ones_like(mask, dtype=torch.bool)
    valid[:, :, 8:13] = False
    maps = StructureMaps(mask[None].float(), mask[None] == 1, valid[None])
    skeleton = soft_skeleton(maps.probabilities, maps.valid, 3)[0, 0]
    assert skeleton[10, 4:8].tolist() == [1.0] * 4
    assert skeleton[10, 13:17].tolist() == [1.0] * 4
    assert cldice_losses(maps, 3).item() == pytest.approx(0, abs=1e-6)
