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

from medseg.core.geometry import Box, Shape
from medseg.transforms.resample import nearest_samples

_BLOCK_VOXELS = 4 * 2**20


@dataclass(frozen=True, eq=False)
class Block:
    """A box of the source grid, ready to be interpolated one channel at a time.

    Attributes:
        support: Probabilities of the part of the network's grid that it lies in, shape ``(t, i, j, k)``.
        axis: The stream axis.
        box: Where it lies in the source grid.
        whole: The shape of its planes, with all that lies beside the box in them.
        matrix: Share of each plane of ``support`` in each of its planes; None where they are the same planes.
        nearest: An axis other than the stream axis, and which samples of ``support`` are taken along it; None if all
            axes are interpolated.
        beside: Voxels of the network's grid that lie beside ``support`` in its planes, as ``torch.nn.functional.pad``
            wants them; empty if there are none.
    """

    support: Tensor
    axis: int
    box: Box
    whole: Shape
    matrix: Tensor | None
    nearest: tuple[int, Tensor] | None = None
    beside: tuple[int, ...] = ()

    @property
    def planes(self) -> slice:
        """Where it lies along the stream axis of the source grid."""
        return self.box[self.axis]

    @property
    def shape(self) -> Shape:
        """Its voxels along each axis."""
        i, j, k = (part.stop - part.start for part in self.box)
        return i, j, k

    def peaks(self) -> list[float]:
        """The largest value of each channel, which interpolation never exceeds; NaN if one is NaN."""
        largest: list[float] = self.support.amax(dim=(1, 2, 3)).tolist()
        return largest

    def channel(self, index: int) -> Tensor:
        """Probabilities of one channel, shape ``shape``."""
        values = self.support[index]
        if self.matrix is not None:
            values = _along(values, self.matrix, self.axis)
        if self.beside:
            values = F.pad(values, self.beside)  # the box needs none of it
        if self.nearest is not None:
            values = values.index_select(*self.nearest)
        if values.shape != self.whole:
            values = _enlarged(values, self.whole, self.axis)
        i, j, k = (slice(None) if axis == self.axis else part for axis, part in enumerate(self.box))
        return values[i, j, k]


class SlabResampler:
    """Linear interpolation to the source grid, slab by slab.

    The result is that of ``torch.nn.functional.interpolate`` with ``align_corners=False`` on the whole volume, which
    never exists here.

    Args:
        before: Shape of the network's grid.
        after: Shape of the source grid over the same extent.
        axis: The stream axis.
        nearest_axis: Axis along which the nearest sample is taken instead; None for none.
        region: The part of the network's grid that the slabs cover; blocks then cover what needs no more than that.
            None for all of it.
    """

    def __init__(
        self, before: Shape, after: Shape, axis: int, nearest_axis: int | None = None, region: Box | None = None
    ) -> None:
        self._after, self._axis = after, axis
        self._region = region or _whole(before)
        taps = [(_nearest_taps if one == nearest_axis else _linear_taps)(before[one], after[one]) for one in range(3)]
        self._lower, self._upper, self._share = taps[axis]
        self._box = [_inside(lower, upper, part) for (lower, upper, _), part in zip(taps, self._region, strict=True)]
        self._beside = _beside(self._region, before, axis)
        self._nearest: tuple[int, Tensor] | None = None
        if nearest_axis is not None and nearest_axis != axis:
            samples = nearest_samples(before[nearest_axis], after[nearest_axis])
            self._nearest = nearest_axis, torch.from_numpy(samples)
        self._is_identity = before[axis] == after[axis]
        self._kept: Tensor | None = None
        self._done = self._box[axis].start
        self._planes = max(1, _BLOCK_VOXELS * after[axis] // math.prod(after))

    def blocks(self, start: int, slab: Tensor) -> Iterator[Block]:
        """The blocks that a slab ``(t, i, j, k)`` completes; it begins at plane ``start`` of what the slabs cover."""
        start += self._region[self._axis].start
        if self._kept is not None:
            slab, start = torch.cat((self._kept.to(slab.device), slab), dim=1 + self._axis), start - 1
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
        i, j, k = (planes if axis == self._axis else part for axis, part in enumerate(self._box))
        u, v, w = (planes.stop - planes.start if axis == self._axis else n for axis, n in enumerate(self._after))
        matrix = self._matrix(planes, slice(first, end), slab.device)
        nearest = self._nearest and (self._nearest[0], self._nearest[1].to(slab.device))
        return Block(support, self._axis, (i, j, k), (u, v, w), matrix, nearest, self._beside)

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


def _enlarged(values: Tensor, shape: Shape, axis: int) -> Tensor:
    """Planes across an axis, each interpolated; as channels of one picture, which was measured five times as fast."""
    across = tuple(n for one, n in enumerate(shape) if one != axis)
    planes = values[None].movedim(1 + axis, 1)  # in this order the last axis makes channels that lie side by side
    larger: Tensor = F.interpolate(planes, across, mode="bilinear", align_corners=False)
    return larger.movedim(1, 1 + axis)[0]


def _linear_taps(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each plane afterwards: the plane before it, the plane behind it, and the share of the latter."""
    position = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    lower = np.floor(position).astype(np.int64)
    share = (position - lower).astype(np.float32)
    return lower, np.where(share > 0, np.minimum(lower + 1, before - 1), lower), share


def _nearest_taps(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """As ``_linear_taps``, for the nearest plane alone."""
    samples = nearest_samples(before, after).astype(np.int64)
    return samples, samples, np.zeros(after, np.float32)


def _inside(lower: NDArray[np.int64], upper: NDArray[np.int64], part: slice) -> slice:
    """The samples afterwards, of an axis, whose samples before lie in a part of it."""
    first = int(np.searchsorted(lower, part.start))
    return slice(first, max(first, int(np.searchsorted(upper, part.stop))))


def _beside(region: Box, shape: Shape, axis: int) -> tuple[int, ...]:
    """What is missing on both sides of a region in its planes across an axis, the last axis first; empty if nothing."""
    sides = [(0, 0) if one == axis else (region[one].start, shape[one] - region[one].stop) for one in (2, 1, 0)]
    return tuple(n for side in sides for n in side) if any(map(any, sides)) else ()


def _whole(shape: Shape) -> Box:
    return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])
