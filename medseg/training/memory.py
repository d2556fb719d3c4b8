"""Memory that ran out: how it shows, and what would fit instead."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

_SHRINK = 0.75
# How torch says so where it has no class of its own for it: the processor's allocator, on Windows too, and MPS.
_SAYINGS = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True)
class Size:
    """Patches that go through the network at once.

    Attributes:
        batch: How many.
        patch: Voxels of each, along the network's two or three axes.
    """

    batch: int
    patch: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.batch} {'patch' if self.batch == 1 else 'patches'} of {self.patch}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a device, or the main memory, was too small."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in _SAYINGS)


def fitting(size: Size, factors: Sequence[int], attempt: Callable[[Size], object]) -> Size | None:
    """The first smaller size that a step was really done with; None if even the smallest does not fit.

    Fewer patches are tried first, then smaller ones.

    Args:
        size: What did not fit.
        factors: What a patch has to be a multiple of, along each axis.
        attempt: Does a step of that size; raises if memory runs out, or the network does not take the size.
    """
    gc.collect()
    for smaller in smaller_sizes(size, factors):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if _works(attempt, smaller):
            return smaller
    return None


def smaller_sizes(size: Size, factors: Sequence[int]) -> Iterator[Size]:
    """Ever smaller sizes: half the patches down to one, then three quarters of the longest axis that can still shrink.

    Two voxels at the network's coarsest level are left along each axis that had as many, so that it can normalise.
    """
    batch, patch = size.batch, list(size.patch)
    while batch > 1:
        batch //= 2
        yield Size(batch, tuple(patch))
    while True:
        shorter = {axis: _shorter(n, f) for axis, (n, f) in enumerate(zip(patch, factors, strict=True))}
        axes = [axis for axis, n in shorter.items() if n < patch[axis]]
        if not axes:
            return
        longest = max(axes, key=lambda axis: patch[axis])
        patch[longest] = shorter[longest]
        yield Size(1, tuple(patch))


def _shorter(edge: int, factor: int) -> int:
    return max(int(_SHRINK * edge) // factor, 2) * factor


def _works(attempt: Callable[[Size], object], size: Size) -> bool:
    try:
        attempt(size)
    except (MemoryError, RuntimeError, ValueError):
        return False
    return True
