"""One network on several devices."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from .runner import Runner


class SpreadRunner:
    """Deals the windows of a batch out to copies of one network, each on a device of its own, which compute at once.

    The logits come back to the first device in the windows' order, so what is made of them is the same as with one.

    Args:
        replicas: At least one; all of the same network.
    """

    def __init__(self, replicas: Sequence[Runner]) -> None:
        self.replicas = tuple(replicas)

    @property
    def device(self) -> torch.device:
        """See ``Runner``."""
        return self.replicas[0].device

    def __call__(self, windows: Tensor) -> Tensor:
        """See ``Runner``."""
        parts = windows.chunk(len(self.replicas))
        if len(parts) == 1:
            return self.replicas[0](windows)
        # Threads cost less than a thousandth of a window, and none is left behind when one is interrupted.
        with ThreadPoolExecutor(len(parts)) as threads:
            found = list(threads.map(_computed, self.replicas, parts))
        return torch.cat([logits.to(self.device, non_blocking=True) for logits in found])


@torch.inference_mode()
def _computed(runner: Runner, windows: Tensor) -> Tensor:
    return runner(windows.to(runner.device, non_blocking=True))
