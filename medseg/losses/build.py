"""The loss that a configuration asks for."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor, nn

from medseg.config.losses import (
    CompoundLossSection,
    DiceBoundarySection,
    DiceCESection,
    DiceClDiceSection,
    DiceFocalSection,
    DiceHausdorffSection,
    DiceSection,
    DiceTopKSection,
    FocalTverskySection,
    GeneralizedDiceSection,
    LossSection,
    OverlapLossSection,
    TverskySection,
)

from .boundary import BoundaryLoss
from .cldice import ClDiceLoss
from .compound import DiceCELoss, DicePlusLoss
from .deep_supervision import DeepSupervisionLoss
from .dice import DiceLoss, GeneralizedDiceLoss
from .focal import FocalLoss
from .hausdorff import LogHausdorffLoss
from .ramp import Ramp
from .topk import TopKLoss
from .tversky import FocalTverskyLoss, TverskyLoss


def build_loss(
    section: LossSection,
    class_weights: tuple[float, ...] | None = None,
    *,
    exclusive: bool,
    deep_supervision: bool = False,
) -> nn.Module:
    """Loss module from its section.

    Args:
        section: Which loss, with its numbers.
        class_weights: A weight for each output of the network, so background's first if exclusive; none is all ones.
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).
        deep_supervision: Whether the network gives a list of outputs, finest first.

    Returns:
        Module that takes logits (or that list) and a target.
    """
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
    loss = _single(section, weights, exclusive=exclusive)
    return DeepSupervisionLoss(loss) if deep_supervision else loss


def _single(section: LossSection, weights: Tensor | None, *, exclusive: bool) -> nn.Module:
    if isinstance(section, OverlapLossSection):
        return _overlap(section, weights, exclusive=exclusive)
    return _compound(section, weights, exclusive=exclusive)


def _overlap(section: OverlapLossSection, weights: Tensor | None, *, exclusive: bool) -> nn.Module:
    match section:
        case DiceSection():
            return DiceLoss(weights, exclusive=exclusive)
        case TverskySection():
            return TverskyLoss(section.alpha, section.beta, weights, exclusive=exclusive)
        case FocalTverskySection():
            return FocalTverskyLoss(section.alpha, section.beta, section.gamma, weights, exclusive=exclusive)
        case GeneralizedDiceSection():
            return GeneralizedDiceLoss(weights, exclusive=exclusive)
        case _:
            assert_never(section)


def _compound(section: CompoundLossSection, weights: Tensor | None, *, exclusive: bool) -> nn.Module:
    dice = DiceLoss(weights, exclusive=exclusive)
    match section:
        case DiceCESection():
            return DiceCELoss(section.ce_weight, weights, exclusive=exclusive)
        case DiceFocalSection():
            focal = FocalLoss(section.gamma, weights, exclusive=exclusive)
            return DicePlusLoss(dice, focal, Ramp(section.focal_weight))
        case DiceTopKSection():
            hardest = TopKLoss(section.share, weights, exclusive=exclusive)
            return DicePlusLoss(dice, hardest, Ramp(section.ce_weight))
        case DiceBoundarySection():
            boundary = BoundaryLoss(section.reach, weights, exclusive=exclusive)
            return DicePlusLoss(dice, boundary, Ramp(section.boundary_weight, section.ramp))
        case DiceHausdorffSection():
            hausdorff = LogHausdorffLoss(section.alpha, section.reach, weights, exclusive=exclusive)
            return DicePlusLoss(dice, hausdorff, Ramp(section.hausdorff_weight, section.ramp))
        case DiceClDiceSection():
            lines = ClDiceLoss(section.iterations, weights, exclusive=exclusive)
            return DicePlusLoss(dice, lines, Ramp(section.cldice_weight), 1 - section.cldice_weight)
        case _:
            assert_never(section)
