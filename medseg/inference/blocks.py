"""Slabs on the network's grid become blocks on the source grid, as soon as what they depend on is there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from medseg.core.geometry import Shape

_BLOCK_VOXELS = 16 * 2**20


@dataclass(frozen=True, eq=False)
class Block:
    """Planes of the source grid, ready to be interpolated one channel at a time.

    Attributes:
        support: Probabilities of the planes of the network's grid that it lies between, shape ``(t, i, j, k)``.
        axis: The stream axis.
        planes: Where it lies along that axis of the source grid.
        shape: Its own shape.
        matrix: Share of each plane of ``support`` in each of its planes; None where they are the same planes.
    """

    support: Tensor
    axis: int
    planes: slice
    shape: Shape
    matrix: Tensor | None

    def channel(self, index: int) -> Tensor:
        """Probabilities of one channel, shape ``shape``."""
        values = self.support[index]
        if self.matrix is not None:
            values = _along(values, self.matrix, self.axis)
        if values.shape == self.shape:
            return values
        scaled: Tensor = F.interpolate(values[None, None], self.shape, mode="trilinear", align_corners=False)[0, 0]
        return scaled


class SlabResampler:
    """Linear interpolation to the source grid, slab by slab.

    The result is that of ``torch.nn.functional.interpolate`` with ``align_corners=False`` on the whole volume, which
    never exists here.

    Args:
        before: Shape of the network's grid.
        after: Shape of the source grid over the same extent.
        axis: The stream axis.
    """

    def __init__(self, before: Shape, after: Shape, axis: int) -> None:
        self._after, self._axis = after, axis
        self._lower, self._upper, self._share = _linear_taps(before[axis], after[axis])
        self._is_identity = before[axis] == after[axis]
        self._kept: Tensor | None = None
        self._done = 0
        self._planes = max(1, _BLOCK_VOXELS * after[axis] // math.prod(after))

    def blocks(self, start: int, slab: Tensor) -> Iterator[Block]:
        """The blocks that a slab ``(t, i, j, k)`` completes; it begins at plane ``start`` of the network's grid."""
        if self._kept is not None:
            slab, start = torch.cat((self._kept, slab), dim=1 + self._axis), start - 1
        stop = start + slab.shape[1 + self._axis]
        ready = int(np.searchsorted(self._upper, stop))
        while self._done < ready:
            last = min(ready, self._done + self._planes)
            yield self._block(slab, start, slice(self._done, last))
            self._done = last
        if not self._is_identity:
            self._kept = slab.narrow(1 + self._axis, stop - start - 1, 1).clone()

    def _block(self, slab: Tensor, start: int, planes: slice) -> Block:
        first, end = int(self._lower[planes.start]), int(self._upper[planes.stop - 1]) + 1
        support = slab.narrow(1 + self._axis, first - start, end - first)
        i, j, k = (planes.stop - planes.start if axis == self._axis else n for axis, n in enumerate(self._after))
        return Block(support, self._axis, planes, (i, j, k), self._matrix(planes, slice(first, end), slab.device))

    def _matrix(self, planes: slice, support: slice, device: torch.device) -> Tensor | None:
        if self._is_identity:
            return None
        matrix = np.zeros((planes.stop - planes.start, support.stop - support.start), np.float32)
        rows = np.arange(len(matrix))
        matrix[rows, self._upper[planes] - support.start] += self._share[planes]
        matrix[rows, self._lower[planes] - support.start] += 1 - self._share[planes]
        return torch.from_numpy(matrix).to(device)


def _along(values: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Matrix applied along one of three axes; a product of matrices is faster than picking planes and mixing them."""
    if axis == 0:
        moved: Tensor = torch.tensordot(matrix, values, dims=1)
        return moved
    return matrix @ values if axis == 1 else values @ matrix.T


def _linear_taps(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each plane afterwards: the plane before it, the plane behind it, and the share of the latter."""
    position = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    lower = np.floor(position).astype(np.int64)
    share = (position - lower).astype(np.float32)
    return lower, np.where(share > 0, np.minimum(lower + 1, before - 1), lower), share
