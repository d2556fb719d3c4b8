"""What each voxel says by itself: how surprised the network is there, and how much the voxel counts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from medseg.core.labels import IGNORE_INDEX


def surprise(logits: Tensor, target: Tensor, *, exclusive: bool) -> Tensor:
    """Minus the log-probability of what the reference says, in nats and in the shape of ``target``.

    Args:
        logits: In single precision at least; shape ``(b, c, *spatial)``.
        target: Class indices ``(b, *spatial)`` or masks ``(b, c, *spatial)``. Where it is 255 the result means nothing.
        exclusive: Whether a softmax or a sigmoid follows.
    """
    if exclusive:
        index = target.where(target != IGNORE_INDEX, 0).long()
        return -logits.log_softmax(1).gather(1, index[:, None])[:, 0]
    return F.binary_cross_entropy_with_logits(logits, (target == 1).to(logits.dtype), reduction="none")


def voxel_weights(target: Tensor, class_weights: Tensor | None, *, exclusive: bool) -> Tensor:
    """How much each voxel counts: its class's weight, 0 where it is ignored; in the shape of ``target``."""
    valid = target != IGNORE_INDEX
    if class_weights is None:
        return valid
    if exclusive:
        return valid * class_weights[target.where(valid, 0).long()]
    return valid * class_weights.view(-1, *[1] * (target.ndim - 2))
