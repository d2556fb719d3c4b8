"""Windows on their way from the image to where a network computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.core.geometry import Shape
from medseg.data.sampling import cut_into

from .windows import WindowGrid


class Room:
    """Memory on the host that is used again: taking it anew for each batch was measured twice as long as filling it."""

    def __init__(self) -> None:
        self._tensor = torch.empty(0)

    def like(self, tensor: Tensor) -> Tensor | None:
        """Memory of a tensor's shape, with any values in it; None on other devices, where torch keeps what it took."""
        if tensor.device.type != "cpu":
            return None
        if self._tensor.shape[1:] != tensor.shape[1:] or len(self._tensor) < len(tensor):
            self._tensor = torch.empty_like(tensor, memory_format=torch.contiguous_format)
        return self._tensor[: len(tensor)]


class Feed:
    """Cuts windows out of an image and brings them to a device; the memory that it cuts them into is used again.

    To a CUDA device they are copied beside its work, out of memory that the system may not move: while one batch is
    computed the next is on its way.

    Args:
        image: Preprocessed, shape ``(c, i, j, k)``.
        grid: Windows over it, or over a region of it; those that reach beyond the image see zeros there.
        device: Where the network computes.
        most: Windows at once.
    """

    def __init__(self, image: NDArray[np.float32], grid: WindowGrid, device: torch.device, most: int) -> None:
        self._image, self._grid, self._device = image, grid, device
        shape = min(most, len(grid.positions)), image.shape[0], *grid.window.roi
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        slots = 1 if self._beside is None else 2
        self._buffers = [torch.empty(shape, pin_memory=self._beside is not None) for _ in range(slots)]
        self._copied: list[torch.cuda.Event] = []
        self._turn = 0

    def __call__(self, starts: Sequence[Shape]) -> Tensor:
        """Windows ``(b, c, *roi)`` that begin at those voxels, on the device; valid until the next call."""
        if self._beside is not None:
            return self._copied_beside(starts, self._beside)
        return self._cut(starts, self._buffers[0]).to(self._device)

    def _cut(self, starts: Sequence[Shape], buffer: Tensor) -> Tensor:
        windows = buffer[: len(starts)]
        for block, start in zip(windows.numpy(), starts, strict=True):
            cut_into(block, self._image, [first + o for first, o in zip(start, self._grid.origin, strict=True)])
        return windows

    def _copied_beside(self, starts: Sequence[Shape], beside: torch.cuda.Stream) -> Tensor:
        slot, self._turn = self._turn % 2, self._turn + 1
        if slot < len(self._copied):
            self._copied[slot].synchronize()  # what was in this buffer has left it
        else:
            self._copied.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
        windows = self._cut(starts, self._buffers[slot])
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(beside):
            there = windows.to(self._device, non_blocking=True)
            self._copied[slot].record(beside)
        current.wait_stream(beside)
        there.record_stream(current)
        return there
