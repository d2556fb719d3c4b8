"""Where the windows of a sliding-window prediction lie, and how much each of their voxels counts."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import ConfigError
from medseg.core.geometry import Box, Shape

_SIGMA = 1 / 8
Starts = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Window:
    """What the network sees at once: a shape in voxels, and the share that neighbours overlap, in [0, 1)."""

    roi: Shape
    overlap: float = 0.5

    def __post_init__(self) -> None:
        if min(self.roi) < 1:
            raise ConfigError(f"a window needs at least one voxel along each axis, got {self.roi}")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"overlap must be at least 0 and below 1, got {self.overlap}")


@dataclass(frozen=True)
class WindowGrid:
    """All windows over an image of one shape, or over a region of an image.

    They are a full grid (every start along i with every start along j and k) and their importance is a product over
    the axes, so the sum of importance in a voxel is a product of three numbers too, and is never accumulated.

    Attributes:
        shape: Of the image, or of the region.
        window: What the network sees at once.
        along: First voxels of the windows along each axis, ascending; None spreads them evenly.
        origin: The region's first voxel in the image.
        air: First voxels of those windows that hold nothing but air.
    """

    shape: Shape
    window: Window
    along: Starts | None = None
    origin: Shape = (0, 0, 0)
    air: frozenset[Shape] = frozenset()

    @property
    def region(self) -> Box:
        """What the windows are spread over, as a box of the image."""
        i, j, k = (slice(first, first + n) for first, n in zip(self.origin, self.shape, strict=True))
        return i, j, k

    @cached_property
    def starts(self) -> Starts:
        """First voxels of the windows along each axis, ascending; negative where an image is smaller than a window."""
        if self.along is not None:
            return self.along
        i, j, k = (
            window_starts(length, size, self.window.overlap)
            for length, size in zip(self.shape, self.window.roi, strict=True)
        )
        return i, j, k

    @cached_property
    def stream_axis(self) -> int:
        """The axis along which the least of the image has to be kept while windows still add to it."""
        kept = [min(n, size) / n for n, size in zip(self.shape, self.window.roi, strict=True)]
        return kept.index(min(kept))

    @cached_property
    def positions(self) -> tuple[Shape, ...]:
        """First voxel of every window, ascending along the stream axis."""
        return tuple(sorted(itertools.product(*self.starts), key=lambda start: start[self.stream_axis]))

    def importance(self) -> NDArray[np.float32]:
        """Weight of each voxel of a window, shape ``roi``, 1 at its centre."""
        i, j, k = (window_importance(size) for size in self.window.roi)
        return np.asarray(i[:, None, None] * j[:, None] * k, dtype=np.float32)

    def importance_sums(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Vectors along i, j, k whose outer product is the sum of the importance of all windows in each voxel."""
        return self._sums

    def shares(self, start: Shape) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
        """The part of a window that lies in the image, and its share of the importance of all windows in each voxel.

        The shares of all windows add up to 1 in each voxel of the image.
        """
        inside, along = [], []
        for axis, (first, size) in enumerate(zip(start, self.window.roi, strict=True)):
            part = slice(max(0, -first), min(size, self.shape[axis] - first))
            inside.append(part)
            along.append(self._share_along(axis, first)[part])
        i, j, k = along
        return tuple(inside), np.asarray(i[:, None, None] * j[:, None] * k, dtype=np.float32)

    def core(self, axis: int, start: int, least: float) -> slice:
        """Where along an axis a window's share of the importance is at least so much.

        Args:
            axis: 0, 1 or 2.
            start: The window's first voxel along it.
            least: In [0, 1); 0 gives all of the window that lies in the image.

        Returns:
            Plain start and stop; empty if the share is reached nowhere.
        """
        share = self._share_along(axis, start)
        reached = np.flatnonzero((share >= least) & (share > 0))
        return slice(start + int(reached[0]), start + int(reached[-1]) + 1) if len(reached) else slice(start, start)

    def _share_along(self, axis: int, start: int) -> NDArray[np.float32]:
        """Share of a window's importance along an axis, for all of it that lies in the image; 0 beyond."""
        size, length = self.window.roi[axis], self.shape[axis]
        first, last = max(0, -start), min(size, length - start)
        share = np.zeros(size, np.float32)
        share[first:last] = window_importance(size)[first:last] / self._sums[axis][start + first : start + last]
        return share

    @cached_property
    def _sums(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        i, j, k = (self._sum_along(axis) for axis in range(3))
        return i, j, k

    def _sum_along(self, axis: int) -> NDArray[np.float32]:
        length, size = self.shape[axis], self.window.roi[axis]
        total = np.zeros(length)
        for start in self.starts[axis]:
            first, last = max(0, start), min(length, start + size)
            total[first:last] += window_importance(size)[first - start : last - start]
        return total.astype(np.float32)


def window_starts(length: int, size: int, overlap: float) -> tuple[int, ...]:
    """First voxels of windows of ``size`` along an axis, spread evenly, no further apart than the overlap allows.

    An axis shorter than a window takes one window, centred, which reaches beyond the image on both sides.

    References:
        Isensee et al., 2021, Nature Methods 18:203 (nnU-Net's steps).
    """
    room = length - size
    if room <= 0:
        return (-(-room // 2),)
    step = max(1.0, size * (1 - overlap))
    count = math.ceil(room / step) + 1
    return tuple(round(room / (count - 1) * index) for index in range(count))


def window_importance(size: int) -> NDArray[np.float64]:
    """Gaussian along one axis of a window, sigma an eighth of it, 1 at the voxel ``size // 2`` (nnU-Net's)."""
    weights: NDArray[np.float64] = np.exp(-0.5 * ((np.arange(size) - size // 2) / (size * _SIGMA)) ** 2)
    return weights
