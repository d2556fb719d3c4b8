"""A weight that rises while training goes on."""

from __future__ import annotations

from torch import nn


class Ramp(nn.Module):
    """A weight that rises in a straight line from 0, and is full until it is told how far training is.

    Args:
        weight: Full weight.
        over: Share of the training over which it rises; 0 is full from the beginning.
    """

    def __init__(self, weight: float, over: float = 0.0) -> None:
        super().__init__()
        self.weight = weight
        self.over = over
        self.progress = 1.0

    def forward(self) -> float:
        """The weight now."""
        return self.weight if self.progress >= self.over else self.weight * self.progress / self.over


def set_progress(loss: nn.Module, progress: float) -> None:
    """Tell every ramp in a loss how far training is, in [0, 1]; a loss without one does not care."""
    for module in loss.modules():
        if isinstance(module, Ramp):
            module.progress = progress
