"""What is made of blocks of probabilities: labels, masks, maps and sums, one channel at a time."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .blocks import Block
from .decision import Decision, RunningArgmax


class Fill(Protocol):
    """One array that a block is written into, channel by channel."""

    def offer(self, channel: int, values: Tensor) -> None:
        """Take the probabilities of a channel; channels that do not matter may be left out."""

    def finish(self) -> None:
        """There are no more channels."""


class ArgmaxFill:
    """The value of the most probable class."""

    def __init__(self, target: NDArray[np.integer], decision: Decision, block: Block) -> None:
        self._target, self._decision = target, decision
        self._running = RunningArgmax(block.shape, block.support.device)

    def offer(self, channel: int, values: Tensor) -> None:
        """See ``Fill``."""
        self._running.offer(channel, values)

    def finish(self) -> None:
        """See ``Fill``."""
        self._target[...] = self._decision.values(self._running.indices.cpu().numpy())


class MaskFill:
    """Targets that may overlap: each where it is probable enough."""

    def __init__(self, target: NDArray[np.bool_], decision: Decision) -> None:
        self._target, self._decision = target, decision

    def offer(self, channel: int, values: Tensor) -> None:
        """See ``Fill``."""
        if channel in self._decision.rows:
            self._target[self._decision.rows[channel]] = self._decision.holds(channel, values).cpu().numpy()

    def finish(self) -> None:
        """See ``Fill``."""


class ProbabilityFill:
    """Probabilities of the targets that are wanted."""

    def __init__(self, target: NDArray[np.float16], decision: Decision) -> None:
        self._target, self._rows = target, decision.rows

    def offer(self, channel: int, values: Tensor) -> None:
        """See ``Fill``."""
        if channel in self._rows:
            self._target[self._rows[channel]] = values.half().cpu().numpy()

    def finish(self) -> None:
        """See ``Fill``."""


class EntropyFill:
    """Entropy over classes, or mean of the targets' binary entropies, divided by its largest value."""

    def __init__(self, target: NDArray[np.float32], block: Block, *, exclusive: bool) -> None:
        self._target, self._exclusive = target, exclusive
        channels = block.support.shape[0]
        self._largest = math.log(channels) if exclusive else channels * math.log(2)
        self._sum = torch.zeros(block.shape, device=block.support.device)

    def offer(self, channel: int, values: Tensor) -> None:  # noqa: ARG002 - every channel counts alike
        """See ``Fill``."""
        values = values.clamp(0, 1)
        self._sum += torch.special.entr(values)
        if not self._exclusive:
            self._sum += torch.special.entr(1 - values)

    def finish(self) -> None:
        """See ``Fill``."""
        self._target[...] = (self._sum / self._largest).clamp_(0, 1).cpu().numpy()


class SumFill:
    """Adds the probabilities of the targets, times a share, to what is there; the background's channel is skipped."""

    def __init__(self, target: NDArray[np.float16], share: float, skipped: int) -> None:
        self._target, self._share, self._skipped = target, share, skipped

    def offer(self, channel: int, values: Tensor) -> None:
        """See ``Fill``."""
        if channel >= self._skipped:
            part = self._target[channel - self._skipped]
            np.add(part, (values * self._share).cpu().numpy(), out=part, casting="same_kind")

    def finish(self) -> None:
        """See ``Fill``."""


class VoteFill:
    """Adds one to each target where it holds."""

    def __init__(self, target: NDArray[np.uint8], decision: Decision, block: Block) -> None:
        self._target, self._decision = target, decision
        self._running = RunningArgmax(block.shape, block.support.device) if decision.scheme.is_exclusive else None

    def offer(self, channel: int, values: Tensor) -> None:
        """See ``Fill``."""
        if self._running is None:
            self._target[channel] += self._decision.holds(channel, values).cpu().numpy()
        else:
            self._running.offer(channel, values)

    def finish(self) -> None:
        """See ``Fill``."""
        if self._running is not None:
            indices = self._running.indices.cpu().numpy()
            for place in range(len(self._target)):
                self._target[place] += indices == place + 1
