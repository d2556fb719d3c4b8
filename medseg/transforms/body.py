"""Where in an image there is a body, and where only air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import ChannelSection, Intensity
from medseg.core.geometry import Box, Shape

AIR_HU = -500.0
"""Halfway between air and water; what lies below is air."""
_EDGE, _STEP = 8, 2
_FILLED = 1 / 8
_LOW, _HIGH, _DIM = 2, 98, 0.1
_ABOVE_FLOOR = 0.05
_SAMPLES = 2**20


@dataclass(frozen=True, eq=False)
class Body:
    """The part of an image that is not air, in blocks of voxels.

    Attributes:
        shape: Of the image.
        edges: Voxels of a block along each axis; the last block may reach beyond the image.
        blocks: Which of them belong to it.
    """

    shape: Shape
    edges: Shape
    blocks: NDArray[np.bool_]

    @property
    def box(self) -> Box | None:
        """The smallest box of voxels around it; None if there is nothing but air."""
        ranges = []
        for axis, (edge, length) in enumerate(zip(self.edges, self.shape, strict=True)):
            filled = np.flatnonzero(self.blocks.any(axis=tuple(other for other in range(3) if other != axis)))
            if not len(filled):
                return None
            ranges.append(slice(int(filled[0]) * edge, min(length, (int(filled[-1]) + 1) * edge)))
        return ranges[0], ranges[1], ranges[2]

    def reaches(self, box: Box) -> bool:
        """Whether some of it lies in a box of voxels, which may be empty, or reach beyond the image."""
        i, j, k = (
            slice(max(0, part.start) // edge, max(0, -(-part.stop // edge)) if part.stop > part.start else 0)
            for part, edge in zip(box, self.edges, strict=True)
        )
        return bool(self.blocks[i, j, k].any())

    def holds(self, mask: NDArray[np.bool_]) -> bool:
        """Whether all of a mask of the image's shape lies within it."""
        for axis, edge in enumerate(self.edges):
            mask = np.logical_or.reduceat(mask, np.arange(0, self.shape[axis], edge), axis=axis)
        return not bool((mask & ~self.blocks).any())


def find_body(channels: Sequence[NDArray[np.generic]], levels: Sequence[float]) -> Body:
    """The blocks of an image that hold more than air in some channel.

    A block counts if an eighth of it lies above the level, so that specks of noise do not. What is enclosed, with body
    on both sides of it along some axis, counts too: lungs, bowel gas, the gap between an arm and the trunk. So do the
    blocks next to those that count, in which the skin may lie.

    Args:
        channels: At least one, each of shape ``(i, j, k)``; NaN is air.
        levels: The largest value of air in each.
    """
    i, j, k = channels[0].shape
    edges = min(_EDGE, i), min(_EDGE, j), min(_EDGE, k)
    filled = np.any([_filled(one, level, edges) for one, level in zip(channels, levels, strict=True)], axis=0)
    for axis in range(3):
        filled = filled | _enclosed(filled, axis)
    for axis in range(3):
        filled = _widened(filled, axis)
    return Body((i, j, k), edges, filled)


def body_of(image: NDArray[np.float32], sections: Sequence[ChannelSection]) -> Body:
    """The body in an image that was normalised as the sections say, shape ``(c, i, j, k)``."""
    return find_body(list(image), [_level(one, section) for one, section in zip(image, sections, strict=True)])


def air_level(channel: NDArray[np.generic]) -> float:
    """A value clearly below that of tissue: a tenth of the way from the darkest to the brightest.

    The two are the 2nd and the 98th percentile, so that padding and bright vessels do not count. An image without air
    has hardly a block below it. Infinite if all values are alike, or none is finite: then there is no body.

    References:
        Smith, 2002, Human Brain Mapping 17:143 (BET's robust range).
    """
    step = max(1, round((channel.size / _SAMPLES) ** (1 / 3)))
    samples = channel[::step, ::step, ::step].ravel()
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        return np.inf
    low, high = np.percentile(samples, (_LOW, _HIGH))
    return float(low + _DIM * (high - low)) if high > low else np.inf


def _level(channel: NDArray[np.float32], section: ChannelSection) -> float:
    """The same for a normalised channel; of CT, the network sees nothing below the window that it was trained with."""
    if section.intensity is not Intensity.CT or section.clip is None:
        return air_level(channel)
    mean, deviation = section.mean or 0.0, section.std or 1.0
    return max((AIR_HU - mean) / deviation, (section.clip[0] - mean) / deviation + _ABOVE_FLOOR)


def _filled(channel: NDArray[np.generic], level: float, edges: Shape) -> NDArray[np.bool_]:
    """Blocks of which enough lies above the level; every other voxel along an axis is looked at."""
    above = np.greater(channel[::_STEP, ::_STEP, ::_STEP], level)
    counts: NDArray[np.uint16] = above.view(np.uint8)
    all_counts: NDArray[np.float64] = np.ones((1, 1, 1))
    for axis, edge in enumerate(edges):
        firsts = np.arange(0, above.shape[axis], -(-edge // _STEP))
        counts = np.add.reduceat(counts, firsts, axis=axis, dtype=np.uint16)
        lengths = np.diff([*firsts, above.shape[axis]])
        all_counts = all_counts * lengths.reshape([-1 if axis == other else 1 for other in range(3)])
    return np.asarray(counts >= _FILLED * all_counts) & (counts > 0)


def _enclosed(filled: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Blocks with a filled one before and behind them along an axis."""
    before = np.logical_or.accumulate(filled, axis=axis)
    behind = np.flip(np.logical_or.accumulate(np.flip(filled, axis), axis=axis), axis)
    return np.asarray(before & behind)


def _widened(filled: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """The blocks and their neighbours along an axis."""
    wide = filled.copy()
    after, before = [slice(None)] * 3, [slice(None)] * 3
    after[axis], before[axis] = slice(1, None), slice(None, -1)
    wide[tuple(after)] |= filled[tuple(before)]
    wide[tuple(before)] |= filled[tuple(after)]
    return wide
