"""Which patch comes next: cut from which case, around which voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import DataError
from medseg.core.geometry import Shape

from .cache import PreparedArrays

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Patch:
    """A block of one case: image ``(channel, *shape)``, target ``(*shape)`` or ``(target, *shape)``."""

    image: NDArray[np.float32]
    target: NDArray[np.uint8]


class PatchSampler:
    """Draws patches so that every structure is reached, rare ones included.

    A share of the patches is centred on a structure: first the structure is drawn, all alike, then one of the cases
    that hold it, then one of its voxels. The others lie anywhere in any case.

    Args:
        cases: Preprocessed cases, at least one.
        shape: Voxels of a block; blocks reach beyond small images and are filled with zeros there.
        foreground: Share of the patches centred on a structure.
    """

    def __init__(self, cases: Sequence[PreparedArrays], shape: Shape, foreground: float) -> None:
        if not cases:
            raise DataError("no case to draw patches from")
        self._cases = list(cases)
        self._shape = shape
        self._foreground = foreground
        holders = [
            [n for n, case in enumerate(cases) if len(case.foreground[t])] for t in range(len(cases[0].foreground))
        ]
        self._holders = [found for found in holders if found]
        self._targets = [target for target, found in enumerate(holders) if found]

    def draw(self, rng: np.random.Generator) -> Patch:
        """The next patch."""
        if self._targets and rng.random() < self._foreground:
            chosen = int(rng.integers(len(self._targets)))
            case = self._cases[int(rng.choice(self._holders[chosen]))]
            voxels = case.foreground[self._targets[chosen]]
            centre = voxels[int(rng.integers(len(voxels)))]
            start = [int(c) - n // 2 for c, n in zip(centre, self._shape, strict=True)]
            start = self._inside(start, case.image.shape[1:])
        else:
            case = self._cases[int(rng.integers(len(self._cases)))]
            rooms = [size - n for size, n in zip(case.image.shape[1:], self._shape, strict=True)]
            start = [int(rng.integers(min(0, room), max(0, room) + 1)) for room in rooms]
        return Patch(cut(case.image, start, self._shape), cut(case.target, start, self._shape))

    def _inside(self, start: Sequence[int], size: Sequence[int]) -> list[int]:
        """Moved so that the block reaches no further beyond the image than it must."""
        rooms = [n - m for n, m in zip(size, self._shape, strict=True)]
        return [min(max(first, min(0, room)), max(0, room)) for first, room in zip(start, rooms, strict=True)]


def cut(array: NDArray[T], start: Sequence[int], shape: Shape) -> NDArray[T]:
    """Copy of the block of the last three axes that begins at ``start``; zeros where it lies beyond the array."""
    lead = array.ndim - 3
    size = array.shape[lead:]
    block = np.zeros((*array.shape[:lead], *shape), dtype=array.dtype)
    source = [slice(max(0, first), min(n, first + m)) for first, m, n in zip(start, shape, size, strict=True)]
    if all(part.start < part.stop for part in source):
        place = [slice(part.start - first, part.stop - first) for part, first in zip(source, start, strict=True)]
        block[(slice(None),) * lead + tuple(place)] = array[(slice(None),) * lead + tuple(source)]
    return block
