"""Focal loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .soft_counts import check_weights, single_precision
from .voxelwise import surprise, voxel_weights

_LEAST_DOUBT = 1e-7


class FocalLoss(nn.Module):
    """Cross-entropy that counts a voxel by how much the network doubts it, ``(1 - p) ** gamma``.

    Args:
        gamma: Focusing exponent; 0 is cross-entropy.
        class_weights: A weight for each output of the network; background's first if exclusive.
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Lin et al., 2017, ICCV, equation 4.
    """

    class_weights: Tensor | None

    def __init__(self, gamma: float = 2.0, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.gamma = gamma
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar, 0 if every voxel is ignored; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        nats = surprise(single_precision(logits), target, exclusive=self.exclusive)
        weights = voxel_weights(target, self.class_weights, exclusive=self.exclusive).to(nats.dtype)
        # The power's slope is infinite at 0 for gamma < 1, hence the floor.
        doubt = (-torch.expm1(-nats)).clamp(min=_LEAST_DOUBT) ** self.gamma
        return (weights * doubt * nats).sum() / weights.sum().clamp(min=1e-12)
