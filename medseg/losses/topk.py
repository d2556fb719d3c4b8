"""Cross-entropy of the voxels that are hardest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medseg.core.labels import IGNORE_INDEX

from .soft_counts import check_weights, single_precision
from .voxelwise import surprise, voxel_weights

_PARTS = 10_000
"""Shares are counted in parts of this, so that no rounding depends on the device."""


class TopKLoss(nn.Module):
    """Cross-entropy of the share of the batch's voxels where it is largest, at least of one voxel.

    Where structures overlap, each structure of a voxel is judged by itself.

    Args:
        share: Of the voxels that are not ignored, above 0; 1 is cross-entropy.
        class_weights: A weight for each output of the network, background's first if exclusive; a voxel's surprise is
            ranked and counted by its weight.
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Wu et al., 2016, arXiv:1605.06885 (online bootstrapping); Ma et al., 2021, Medical Image Analysis 71:102035
        (beside Dice, as in nnU-Net's trainer of that name, with 10 %).
    """

    class_weights: Tensor | None

    def __init__(self, share: float = 0.1, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.parts = round(share * _PARTS)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar, in nats, 0 if every voxel is ignored; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        nats = surprise(single_precision(logits), target, exclusive=self.exclusive).flatten()
        weights = voxel_weights(target, self.class_weights, exclusive=self.exclusive).to(nats.dtype).flatten()
        valid = (target != IGNORE_INDEX).flatten()
        # How many are taken depends on the target. They are the first of a number that does not: nothing has to wait
        # for the device to say how many.
        most = max(1, nats.numel() * self.parts // _PARTS)
        hardest, index = (weights * nats).where(valid, -1.0).topk(most)
        known = valid.sum()
        wanted = (known * self.parts // _PARTS).clamp(min=1).minimum(known)
        taken = torch.arange(most, device=nats.device) < wanted
        return hardest.where(taken, 0.0).sum() / (weights[index] * taken).sum().clamp(min=1e-12)
