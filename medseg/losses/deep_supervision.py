"""A loss at every resolution of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

from torch import Tensor, nn


class DeepSupervisionLoss(nn.Module):
    """Weighted mean of one loss over the network's outputs, against a target that is thinned to each of them.

    The weights halve from level to level; with more than two levels the coarsest has none (nnU-Net).

    Args:
        loss: Takes logits and a target.

    References:
        Lee et al., 2015, AISTATS; Isensee et al., 2021, Nature Methods 18:203.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        """Scalar.

        Args:
            logits: One tensor a level, finest first; a single tensor is the finest alone, as in validation.
            target: In the size of the finest.
        """
        levels = [logits] if isinstance(logits, Tensor) else logits
        # Coarsest level: nothing but a link, so that distributed training sees every parameter used.
        total = levels[-1][:0].float().sum()
        for weight, level in zip(level_weights(len(levels)), levels, strict=True):
            if weight:
                total = total + weight * self.loss(level, thinned(target, level))
        return total


def level_weights(levels: int) -> tuple[float, ...]:
    """Weights of the levels, finest first, summing to 1."""
    weights = [0.5**level for level in range(levels)]
    if levels > 2:
        weights[-1] = 0.0
    return tuple(weight / sum(weights) for weight in weights)


def thinned(target: Tensor, level: Tensor) -> Tensor:
    """Target with every n-th voxel along each axis, so that it has the spatial shape of ``level``."""
    dims = level.ndim - 2
    steps = [-(-n // m) for n, m in zip(target.shape[-dims:], level.shape[-dims:], strict=True)]
    index: tuple[EllipsisType | slice, ...] = (..., *(slice(None, None, step) for step in steps))
    return target[index]
