"""Averaged weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class AveragedNetwork:
    """Exponential moving average of a network's weights, with a short memory at the start.

    The decay after ``n`` updates is ``min(decay, (1 + n) / (10 + n))``, so that a short run does not remember its
    random start.

    Attributes:
        network: A copy of the network that holds the average, in evaluation mode.
        updates: Updates so far.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards ``network``; a decay of 0 copies it. A weight of several names is moved once."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        averaged, current = self.network.state_dict(), network.state_dict()
        floats = {tensor.data_ptr(): name for name, tensor in averaged.items() if tensor.is_floating_point()}
        names = list(floats.values())
        torch._foreach_lerp_([averaged[name] for name in names], [current[name] for name in names], 1 - decay)
        for name in [name for name, tensor in averaged.items() if not tensor.is_floating_point()]:
            averaged[name].copy_(current[name])
        self.updates += 1
