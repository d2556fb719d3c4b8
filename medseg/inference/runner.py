"""A network on the runtime that computes it: windows in, logits out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Runner(Protocol):
    """A network, ready to compute; whoever slides windows need not know by what."""

    @property
    def device(self) -> torch.device:
        """Where it takes windows and gives logits."""

    def __call__(self, windows: Tensor) -> Tensor:
        """Logits ``(b, outputs, *spatial)``, float32, of windows ``(b, c, *spatial)``, float32, on ``device``."""


class TorchRunner:
    """A torch module, computed by torch.

    Args:
        network: In evaluation mode, on its device.
        amp_dtype: What convolutions compute in; None for float32.
    """

    def __init__(self, network: nn.Module, amp_dtype: torch.dtype | None = None) -> None:
        self._network, self._amp_dtype = network, amp_dtype
        self._device = next(iter(network.parameters()), torch.empty(0)).device

    @property
    def device(self) -> torch.device:
        """See ``Runner``."""
        return self._device

    def __call__(self, windows: Tensor) -> Tensor:
        """See ``Runner``."""
        with torch.autocast(self._device.type, self._amp_dtype, enabled=self._amp_dtype is not None):
            logits: Tensor = self._network(windows)
        return logits.float()


class WindowByWindow:
    """A network on the CPU that takes one window at a time, so any number of them will do.

    A CPU gains nothing from several windows at once.

    Args:
        logits_of: From a window ``(1, c, *spatial)`` to its logits ``(1, outputs, *spatial)``, float32 both.
    """

    def __init__(self, logits_of: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._logits_of = logits_of

    @property
    def device(self) -> torch.device:
        """See ``Runner``."""
        return torch.device("cpu")

    def __call__(self, windows: Tensor) -> Tensor:
        """See ``Runner``."""
        ones = windows.chunk(len(windows))
        return torch.cat([torch.from_numpy(self._logits_of(one.contiguous().numpy())) for one in ones])
