"""Focal loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.core.labels import IGNORE_INDEX

from .soft_counts import check_weights, single_precision

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
        surprise = _surprise(single_precision(logits), target, exclusive=self.exclusive)
        weights = self._weights(target).to(surprise.dtype)
        # The power's slope is infinite at 0 for gamma < 1, hence the floor.
        doubt = (-torch.expm1(-surprise)).clamp(min=_LEAST_DOUBT) ** self.gamma
        return (weights * doubt * surprise).sum() / weights.sum().clamp(min=1e-12)

    def _weights(self, target: Tensor) -> Tensor:
        valid = target != IGNORE_INDEX
        if self.class_weights is None:
            return valid
        if self.exclusive:
            return valid * self.class_weights[target.where(valid, 0).long()]
        return valid * self.class_weights.view(-1, *[1] * (target.ndim - 2))


def _surprise(logits: Tensor, target: Tensor, *, exclusive: bool) -> Tensor:
    """Minus the log-probability of what the reference says, in the shape of ``target``."""
    if exclusive:
        index = target.where(target != IGNORE_INDEX, 0).long()
        return -logits.log_softmax(1).gather(1, index[:, None])[:, 0]
    return F.binary_cross_entropy_with_logits(logits, (target == 1).to(logits.dtype), reduction="none")
