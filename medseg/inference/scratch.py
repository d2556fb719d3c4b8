"""Members with grids of their own, averaged on the source grid in a file, so that memory stays bounded."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.core.errors import OutputError
from medseg.core.geometry import Box, Geometry
from medseg.transforms.preprocess import Restoration

from .agreement import Agreement
from .blocks import Block
from .decision import Decision
from .fills import Fill, SumFill, VoteFill
from .logits import LogitBlock
from .restore import BlockWriter, part_of
from .stream import Sink

_SLAB_BYTES = 64 * 2**20
T = TypeVar("T", bound=np.generic)


class Scratch:
    """Mean probabilities of the targets on the source grid, filled by one member after the other.

    They lie in a nameless temporary file, two bytes a voxel and target however many members there are, and one more for
    votes; the system keeps of it in memory what there is room for. What a member cropped away is background to it.

    Args:
        decision: How probabilities become labels.
        grid: The source grid.
        votes: Whether to count, too, how many members find each target in each voxel.

    Raises:
        OutputError: If the disk of temporary files has no room for it.
    """

    def __init__(self, decision: Decision, grid: Geometry, *, votes: bool) -> None:
        shape = (len(decision.scheme.targets), *grid.shape)
        self._decision = decision
        self._sums = _mapped(shape, np.float16)
        self._votes = _mapped(shape, np.uint8) if votes else None

    def writer(
        self, restoration: Restoration, axis: int, share: float, *, logits: bool = False, region: Box | None = None
    ) -> Sink:
        """A sink for the slabs of a member, or of several that were averaged already.

        Args:
            restoration: The way from their grid back to the source.
            axis: The stream axis.
            share: Of all members, from 0 to 1.
            logits: Whether the slabs hold logits.
            region: The part of the network's grid that the slabs cover; what lies outside is background. None for all.
        """
        maps_of = partial(LogitBlock, exclusive=self._decision.scheme.is_exclusive) if logits else None
        fills = partial(self._fills, restoration, share)
        return BlockWriter(restoration, axis, fills, _all_channels, maps_of, region)

    def slabs(self) -> Iterator[tuple[int, Tensor]]:
        """Mean probabilities ``(c, i, j, k)``, slab by slab along i; the background comes first if there is one.

        Nine ninths are a little more than one in half precision, so they are clipped.
        """
        for first, last in self._ranges():
            mean = torch.from_numpy(self._sums[:, first:last].astype(np.float32)).clamp_(0, 1)
            if self._decision.background:
                mean = torch.cat([(1 - mean.sum(dim=0, keepdim=True)).clamp_min_(0), mean])
            yield first, mean

    def count(self, agreement: Agreement) -> None:
        """Add up the votes; there are none if they were not asked for."""
        if self._votes is not None:
            for first, last in self._ranges():
                agreement.add(torch.from_numpy(np.array(self._votes[:, first:last])))

    def _fills(self, restoration: Restoration, share: float, block: Block) -> list[Fill]:
        fills: list[Fill] = [SumFill(part_of(self._sums, block, restoration), share, self._decision.background)]
        if self._votes is not None:
            fills.append(VoteFill(part_of(self._votes, block, restoration), self._decision, block))
        return fills

    def _ranges(self) -> Iterator[tuple[int, int]]:
        targets, planes, *plane = self._sums.shape
        step = max(1, _SLAB_BYTES // (4 * (targets + 1) * math.prod(plane)))
        return ((first, min(planes, first + step)) for first in range(0, planes, step))


def _all_channels(peaks: list[float]) -> range:
    return range(len(peaks))


def _mapped(shape: tuple[int, ...], dtype: type[T]) -> NDArray[T]:
    """Zeros in a file without a name, whose room is taken at once: a full disk would end the process later."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        with tempfile.TemporaryFile(prefix="medseg-") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
    except OSError as error:
        raise OutputError(
            f"averaging these members needs {size / 1e9:.2g} GB of temporary files ({error.strerror}); "
            "name a folder on a larger disk by TMPDIR"
        ) from error
