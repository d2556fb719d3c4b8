"""Soft Dice and generalised Dice."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .soft_counts import SoftCounts, check_weights, soft_counts, structure_weights, weighted_mean

SMOOTH = 1e-5
"""Keeps a structure that is absent and not predicted at a Dice of 1."""


def dice_loss(counts: SoftCounts, weights: Tensor | None) -> Tensor:
    """One minus the weighted mean Dice of the structures."""
    dice = (2 * counts.overlap + SMOOTH) / (counts.predicted + counts.reference + SMOOTH)
    return 1 - weighted_mean(dice, weights)


class DiceLoss(nn.Module):
    """Soft Dice, without the background.

    By default a structure's voxels are counted over the whole batch (nnU-Net's ``batch_dice``): with small patches many
    samples lack a structure, and a Dice per sample would then judge a few false voxels as harshly as a missed organ.

    Args:
        class_weights: A weight for each output of the network, so background's first if exclusive (unused here).
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).
        per_sample: Count each sample on its own and average.

    References:
        Milletari et al., 2016, 3DV, V-Net; Isensee et al., 2021, Nature Methods 18:203.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Tensor | None = None, *, exclusive: bool, per_sample: bool = False) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.per_sample = per_sample
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1]; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        counts = soft_counts(logits, target, exclusive=self.exclusive).structures(
            exclusive=self.exclusive, per_sample=self.per_sample
        )
        return dice_loss(counts, structure_weights(self.class_weights, exclusive=self.exclusive))


class GeneralizedDiceLoss(nn.Module):
    """Dice over all structures at once, each weighted by the inverse square of its size in the batch.

    The weights are relative to the smallest structure present, and absent ones weigh as much as that one.

    Args:
        class_weights: Further factors, one for each output of the network; background's, if exclusive, is unused.
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Sudre et al., 2017, DLMIA, equation 4.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1]; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        counts = soft_counts(logits, target, exclusive=self.exclusive).structures(exclusive=self.exclusive)
        present = counts.reference > 0
        smallest = counts.reference.where(present, torch.inf).amin()
        weights = (smallest / counts.reference).square().where(present, 1.0)
        factors = structure_weights(self.class_weights, exclusive=self.exclusive)
        weights = weights if factors is None else weights * factors
        shared = 2 * (weights * counts.overlap).sum() + SMOOTH
        return 1 - shared / ((weights * (counts.predicted + counts.reference)).sum() + SMOOTH)
