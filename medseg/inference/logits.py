"""Blocks of logits, where logits are averaged and interpolated, and probabilities are made of them last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .blocks import Block


def probabilities_of(logits: Tensor, *, exclusive: bool, out: Tensor | None = None) -> Tensor:
    """Softmax over dimension 1 where targets exclude each other, else a sigmoid each; in ``out`` if it is given."""
    return torch.softmax(logits, dim=1, out=out) if exclusive else torch.sigmoid(logits, out=out)


@dataclass(frozen=True, eq=False)
class LogitBlock:
    """A block of interpolated logits that gives probabilities, one channel at a time.

    Where targets exclude each other, all channels are interpolated once for the sum of the softmax, and each that is
    asked for once more; no array of all channels is made.

    Attributes:
        block: Of logits.
        exclusive: Softmax over the channels, else a sigmoid each.
    """

    block: Block
    exclusive: bool

    def peaks(self) -> list[float]:
        """For each channel a bound that its probability exceeds nowhere in the block; NaN if a logit is not finite."""
        highest = self.block.support.amax(dim=(1, 2, 3)).cpu().double()
        if not bool(highest.isfinite().all()):
            return [math.nan] * len(highest)
        if not self.exclusive:
            bounds: list[float] = highest.sigmoid().tolist()
            return bounds
        lowest = self.block.support.amin(dim=(1, 2, 3)).cpu().double()
        return [_bound(channel, highest, lowest) for channel in range(len(highest))]

    def channel(self, index: int) -> Tensor:
        """Probabilities of one channel, of the block's shape."""
        logits = self.block.channel(index)
        return (logits - self._log_sum).exp_() if self.exclusive else logits.sigmoid()

    @cached_property
    def _log_sum(self) -> Tensor:
        total = self.block.channel(0).clone()
        for index in range(1, len(self.block.support)):
            torch.logaddexp(total, self.block.channel(index), out=total)
        return total


@dataclass(frozen=True, eq=False)
class RankedBlock:
    """A block of interpolated logits for who only wants to know which channel is the largest: the logits themselves.

    Attributes:
        block: Of logits of targets that exclude each other.
    """

    block: Block

    def peaks(self) -> list[float]:
        """As ``LogitBlock.peaks``."""
        return LogitBlock(self.block, exclusive=True).peaks()

    def channel(self, index: int) -> Tensor:
        """Logits of one channel, of the block's shape."""
        return self.block.channel(index)


def _bound(channel: int, highest: Tensor, lowest: Tensor) -> float:
    """Softmax of one channel at its highest, with all others at their lowest."""
    others = lowest.clone()
    others[channel] = highest[channel]
    return float(others.softmax(dim=0)[channel])
