"""Blending windows into probabilities that leave slab by slab, so that only a slab of them exists at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from medseg.core.geometry import Shape

from .windows import WindowGrid

_EMIT_BYTES = 128 * 2**20

Sink = Callable[[int, Tensor], None]
"""Takes the index of a slab's first plane along the stream axis, and its probabilities ``(t, i, j, k)``; the memory of
the tensor is used again afterwards."""


class RingAccumulator:
    """Sums weighted windows in a ring of planes along the stream axis, as deep as a window.

    Windows arrive ascending along that axis. Planes that no later window reaches are divided by the sum of weights,
    handed to the sink in order, and zeroed for reuse.

    Args:
        grid: The windows; their stream axis is the ring's.
        channels: Probabilities a voxel.
        device: Where the ring lies.
        sink: Takes finished planes.
    """

    def __init__(self, grid: WindowGrid, channels: int, device: torch.device, sink: Sink) -> None:
        self._grid = grid
        self._axis = 1 + grid.stream_axis
        self._length = grid.shape[grid.stream_axis]
        self._depth = min(self._length, grid.window.roi[grid.stream_axis])
        self._sink = sink
        self._finished = 0
        self._ring = torch.zeros(ring_shape(grid, channels), device=device)
        self._importance = torch.from_numpy(grid.importance()).to(device)
        sums = [torch.from_numpy(total).to(device) for total in grid.importance_sums()]
        shapes = [[-1 if axis == other else 1 for other in range(3)] for axis in range(3)]
        self._sums = [total.reshape(shape) for total, shape in zip(sums, shapes, strict=True)]
        self._planes = max(1, _EMIT_BYTES * self._depth // self._ring.nbytes)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self._ring.device

    def move(self, device: torch.device) -> None:
        """Lie elsewhere from now on."""
        self._ring, self._importance = self._ring.to(device), self._importance.to(device)
        self._sums = [sums.to(device) for sums in self._sums]

    def add(self, start: Shape, probabilities: Tensor) -> None:
        """Add the probabilities ``(t, *roi)`` of the window that begins at ``start``; what lies outside is dropped."""
        inside = self._clipped(start)[1]
        values = probabilities.to(self._ring.device, torch.float32)[(slice(None), *inside)]
        for part, weights, planes in self._parts(start):
            part.addcmul_(values.narrow(self._axis, planes.start, planes.stop - planes.start), weights)

    def add_alike(self, start: Shape, values: Sequence[float]) -> None:
        """Add a window in which a channel has one probability everywhere, such as one of air."""
        for part, weights, _ in self._parts(start):
            for channel, value in enumerate(values):
                if value:
                    part[channel].add_(weights, alpha=value)

    def finish(self) -> None:
        """Hand over what is left; call it after the last window."""
        self._release(self._length)

    def _parts(self, start: Shape) -> Iterator[tuple[Tensor, Tensor, slice]]:
        """Where a window lies in the ring, in one or two pieces: the piece, its importance, its planes in the window.

        Planes that this and later windows do not reach are handed over first.
        """
        self._release(max(0, start[self._axis - 1]))
        box, inside = self._clipped(start)
        weights, along = self._importance[tuple(inside)], inside[self._axis - 1]
        first = start[self._axis - 1] + along.start
        for begin, end in self._runs(first, first + along.stop - along.start):
            part = self._ring_part(begin, end)[(slice(None), *box)]
            yield part, weights.narrow(self._axis - 1, begin - first, end - begin), slice(begin - first, end - first)

    def _clipped(self, start: Shape) -> tuple[list[slice], list[slice]]:
        """Where a window lies in the ring's cross-section, and which part of the window lies in the image."""
        box, inside = [], []
        for axis, (first, size, length) in enumerate(zip(start, self._grid.window.roi, self._grid.shape, strict=True)):
            low, high = max(0, first), min(length, first + size)
            box.append(slice(None) if axis == self._axis - 1 else slice(low, high))
            inside.append(slice(low - first, high - first))
        return box, inside

    def _release(self, until: int) -> None:
        for begin, end in self._runs(self._finished, until):
            for first in range(begin, end, self._planes):
                last = min(end, first + self._planes)
                part = self._ring_part(first, last)
                along = self._axis - 1
                sums = [*self._sums]
                sums[along] = sums[along].narrow(along, first, last - first)
                self._sink(first, part.div_(sums[0] * sums[1] * sums[2]))
                part.zero_()
        self._finished = max(self._finished, until)

    def _runs(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Ranges of planes that lie in one piece in the ring."""
        while begin < end:
            stop = min(end, begin - begin % self._depth + self._depth)
            yield begin, stop
            begin = stop

    def _ring_part(self, begin: int, end: int) -> Tensor:
        return self._ring.narrow(self._axis, begin % self._depth, end - begin)


def ring_shape(grid: WindowGrid, channels: int) -> tuple[int, int, int, int]:
    """Shape of the ring that a grid of windows needs."""
    i, j, k = (min(n, grid.window.roi[axis]) if axis == grid.stream_axis else n for axis, n in enumerate(grid.shape))
    return channels, i, j, k


def ring_bytes(grid: WindowGrid, channels: int) -> int:
    """Memory that the ring takes."""
    return 4 * math.prod(ring_shape(grid, channels))
