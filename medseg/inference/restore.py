"""From slabs of probabilities on the network's grid to labels on the source grid, decided slab by slab."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medseg.core.errors import BundleError
from medseg.core.geometry import Box
from medseg.core.volume import LabelMap, Labels, MultiLabelMap
from medseg.transforms.preprocess import Restoration

from .blocks import Block, SlabResampler
from .decision import Decision
from .fills import ArgmaxFill, EntropyFill, Fill, MaskFill, ProbabilityFill
from .logits import LogitBlock, RankedBlock

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about a volume, on the volume's own grid.

    Attributes:
        labels: A label map, or a mask a target where targets may overlap.
        probabilities: One map a target, shape ``(t, i, j, k)``; None unless asked for.
        entropy: Uncertainty from 0 (sure) to 1 (all alike), shape ``(i, j, k)``; None unless asked for.
        agreement: How far the members of the model agree about each target, from 0 to 1; NaN where no member finds it;
            None unless asked for, and for a model of one network.
        notes: What the user should know of how it came about; empty as a rule.
    """

    labels: Labels
    probabilities: NDArray[np.float16] | None = None
    entropy: NDArray[np.float32] | None = None
    agreement: Mapping[str, float] | None = None
    notes: tuple[str, ...] = ()


class Maps(Protocol):
    """Probabilities in a block, or what ranks as they do, one channel at a time."""

    def peaks(self) -> list[float]:
        """What the probability of each channel nowhere exceeds."""

    def channel(self, index: int) -> Tensor:
        """Values of one channel, of the block's shape."""


class BlockWriter:
    """A sink that resamples slabs of probabilities to the source grid and offers them, block by block, to fills.

    Args:
        restoration: The way from the network's grid back to the source.
        axis: The stream axis.
        fills_of: The fills of a block.
        channels_of: The channels that matter in a block, from the largest probability of each.
        maps_of: What is offered of a block; None for the block itself, which holds probabilities.
        region: The part of the network's grid that the slabs cover; None for all of it.
    """

    def __init__(
        self,
        restoration: Restoration,
        axis: int,
        fills_of: Callable[[Block], Sequence[Fill]],
        channels_of: Callable[[list[float]], Sequence[int]],
        maps_of: Callable[[Block], Maps] | None = None,
        region: Box | None = None,
    ) -> None:
        before, after = restoration.network.shape, restoration.cropped.shape
        self._resampler = SlabResampler(before, after, axis, restoration.nearest_axis_back, region)
        self._fills_of, self._channels_of, self._maps_of = fills_of, channels_of, maps_of

    def __call__(self, start: int, slab: Tensor) -> None:
        """Take the next slab; a ``Sink``."""
        for block in self._resampler.blocks(start, slab):
            maps = block if self._maps_of is None else self._maps_of(block)
            peaks = maps.peaks()
            if not all(map(math.isfinite, peaks)):
                raise BundleError("the network gave values that are not finite; predict with precision fp32")
            fills = self._fills_of(block)
            for channel in self._channels_of(peaks):
                values = maps.channel(channel)
                for fill in fills:
                    fill.offer(channel, values)
            for fill in fills:
                fill.finish()


class SourceWriter:
    """A sink that decides slabs of probabilities and lays the results out on the source grid.

    What was cropped away, or lies outside the region, is background, with probability 0 and entropy 0.

    Args:
        decision: How probabilities become labels.
        restoration: The way from the network's grid back to the source.
        axis: The stream axis.
        probabilities: Whether to keep the probabilities too (two bytes a voxel and target).
        entropy: Whether to keep an entropy map.
        logits: Whether the slabs hold logits.
        region: The part of the network's grid that the slabs cover; None for all of it.
    """

    def __init__(
        self,
        decision: Decision,
        restoration: Restoration,
        axis: int,
        *,
        probabilities: bool,
        entropy: bool,
        logits: bool = False,
        region: Box | None = None,
    ) -> None:
        scheme, source, rows = decision.scheme, restoration.source.shape, len(decision.rows)
        self._decision, self._restoration = decision, restoration
        maps_of = self._maps if logits else None
        self._writer = BlockWriter(restoration, axis, self._fills, self._channels, maps_of, region)
        self._values = np.zeros(source, scheme.from_class_indices(np.zeros(0, np.uint8)).dtype)
        self._masks = np.zeros((0 if scheme.is_exclusive else rows, *source), np.bool_)
        self._probabilities = np.zeros((rows, *source), np.float16) if probabilities else None
        self._entropy = np.zeros(source, np.float32) if entropy else None

    def __call__(self, start: int, slab: Tensor) -> None:
        """Take the next slab; a ``Sink``."""
        self._writer(start, slab)

    def result(self) -> Prediction:
        """The prediction; call it after the last slab."""
        geometry, scheme = self._restoration.source, self._decision.results
        if scheme.is_exclusive:
            labels: Labels = LabelMap(self._values, geometry)
        else:
            labels = MultiLabelMap(self._masks, geometry, scheme.targets)
        return Prediction(labels, self._probabilities, self._entropy)

    def _maps(self, block: Block) -> Maps:
        """Of logits; to tell the largest they need not become probabilities."""
        exclusive = self._decision.scheme.is_exclusive
        only_labels = self._probabilities is None and self._entropy is None
        return RankedBlock(block) if exclusive and only_labels else LogitBlock(block, exclusive)

    def _channels(self, peaks: list[float]) -> list[int]:
        """All channels for extra maps, else those that can win somewhere in a block."""
        is_exclusive, probabilities = self._decision.scheme.is_exclusive, self._probabilities is not None
        if self._entropy is not None or (probabilities and is_exclusive):
            return list(range(len(peaks)))
        return [*self._decision.rows] if probabilities else self._decision.may_win(peaks)

    def _fills(self, block: Block) -> list[Fill]:
        decision, exclusive = self._decision, self._decision.scheme.is_exclusive
        fills: list[Fill] = []
        if exclusive:
            fills.append(ArgmaxFill(part_of(self._values, block, self._restoration), decision, block))
        else:
            fills.append(MaskFill(part_of(self._masks, block, self._restoration), decision))
        if self._probabilities is not None:
            maps = part_of(self._probabilities, block, self._restoration)
            fills.append(ProbabilityFill(maps, decision))
        if self._entropy is not None:
            uncertainty = part_of(self._entropy, block, self._restoration)
            fills.append(EntropyFill(uncertainty, block, exclusive=exclusive))
        return fills


def part_of(array: NDArray[T], block: Block, restoration: Restoration) -> NDArray[T]:
    """View of what a block covers of an array on the source grid, in the network's orientation."""
    lead = [slice(None)] * (array.ndim - 3)
    return restoration.axes.apply(array)[(*lead, *restoration.box)][(*lead, *block.box)]
