"""Dice beside another loss."""

from __future__ import annotations

from torch import Tensor, nn

from .cross_entropy import cross_entropy
from .dice import DiceLoss, dice_loss
from .ramp import Ramp
from .soft_counts import check_weights, soft_counts, structure_weights


class DiceCELoss(nn.Module):
    """Soft Dice over the batch plus cross-entropy.

    Args:
        ce_weight: Weight of the cross-entropy beside the Dice.
        class_weights: A weight for each output of the network; background's, first if exclusive, is for the
            cross-entropy only.
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Isensee et al., 2021, Nature Methods 18:203.
    """

    class_weights: Tensor | None

    def __init__(self, ce_weight: float = 1.0, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.ce_weight = ce_weight
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        counts = soft_counts(logits, target, exclusive=self.exclusive)
        weights = structure_weights(self.class_weights, exclusive=self.exclusive)
        dice = dice_loss(counts.structures(exclusive=self.exclusive), weights)
        return dice + self.ce_weight * cross_entropy(counts, self.class_weights)


class DicePlusLoss(nn.Module):
    """Weighted sum of soft Dice and another loss.

    Args:
        dice: The Dice.
        other: The other; takes logits and a target as well.
        weight: Of the other.
        dice_weight: Of the Dice.
    """

    def __init__(self, dice: DiceLoss, other: nn.Module, weight: Ramp, dice_weight: float = 1.0) -> None:
        super().__init__()
        self.dice = dice
        self.other = other
        self.weight = weight
        self.dice_weight = dice_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar; see ``soft_counts`` for the shapes."""
        dice: Tensor = self.dice(logits, target)
        other: Tensor = self.other(logits, target)
        return self.dice_weight * dice + float(self.weight()) * other
