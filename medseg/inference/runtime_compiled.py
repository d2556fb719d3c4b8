"""A network compiled by ``torch.compile``."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from .runner import TorchRunner

_LOG = logging.getLogger(__name__)


class CompiledRunner:
    """A torch module, compiled for the number of windows that comes first; fewer are filled up to it.

    Where compiling fails, as without a C++ compiler, torch computes as ever, and a log says so.

    Args:
        network: In evaluation mode, on its device.
        amp_dtype: What convolutions compute in; None for float32.
        backend: Of ``torch.compile``.
    """

    def __init__(self, network: nn.Module, amp_dtype: torch.dtype | None = None, backend: str = "inductor") -> None:
        self._eager = TorchRunner(network, amp_dtype)
        with _quiet():
            compiled = cast("nn.Module", torch.compile(network, dynamic=False, backend=backend))
        self._compiled: TorchRunner | None = TorchRunner(compiled, amp_dtype)
        self._batch, self._works = 0, False

    @property
    def device(self) -> torch.device:
        """See ``Runner``."""
        return self._eager.device

    def __call__(self, windows: Tensor) -> Tensor:
        """See ``Runner``."""
        if self._compiled is None:
            return self._eager(windows)
        self._batch = max(self._batch, len(windows))
        try:
            with contextlib.nullcontext() if self._works else _quiet():
                logits = self._compiled(_filled(windows, self._batch))[: len(windows)]
        except Exception as error:
            self._batch = 0  # whoever halves the windows since memory ran out means it
            if self._works or isinstance(error, torch.OutOfMemoryError | MemoryError):
                raise
            _LOG.warning("torch.compile cannot compile this network (%s); it runs uncompiled", type(error).__name__)
            self._compiled = None
            return self._eager(windows)
        self._works = True
        return logits


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's compiler has to say about the rest of torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _filled(windows: Tensor, batch: int) -> Tensor:
    missing = batch - len(windows)
    return torch.cat([windows, windows.new_zeros(missing, *windows.shape[1:])]) if missing else windows
