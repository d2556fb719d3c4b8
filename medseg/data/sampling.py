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
        patch: Voxels of a patch; patches reach beyond images that are smaller, and only beyond those.
        block: Voxels that are cut out around each patch, for augmentation to turn and zoom; zeros beyond the image.
        foreground: Share of the patches centred on a structure.
    """

    def __init__(self, cases: Sequence[PreparedArrays], patch: Shape, block: Shape, foreground: float) -> None:
        if not cases:
            raise DataError("no case to draw patches from")
        self._cases = list(cases)
        self._patch = patch
        self._block = block
        self._foreground = foreground
        targets = range(len(cases[0].foreground))
        holders = [[n for n, case in enumerate(cases) if len(case.foreground[target])] for target in targets]
        self._holders = {target: found for target, found in zip(targets, holders, strict=True) if found}

    def draw(self, rng: np.random.Generator) -> Patch:
        """The next block, with its patch in the middle."""
        if self._holders and rng.random() < self._foreground:
            case, start = self._on_a_structure(rng)
        else:
            case = self._cases[int(rng.integers(len(self._cases)))]
            start = [int(rng.integers(low, high + 1)) for low, high in self._rooms(case)]
        first = [s - (b - p) // 2 for s, b, p in zip(start, self._block, self._patch, strict=True)]
        return Patch(cut(case.image, first, self._block), cut(case.target, first, self._block))

    def _on_a_structure(self, rng: np.random.Generator) -> tuple[PreparedArrays, list[int]]:
        target = int(rng.choice([*self._holders]))
        case = self._cases[int(rng.choice(self._holders[target]))]
        voxels = case.foreground[target]
        centre = voxels[int(rng.integers(len(voxels)))]
        start = [int(c) - n // 2 for c, n in zip(centre, self._patch, strict=True)]
        return case, [min(max(s, low), high) for s, (low, high) in zip(start, self._rooms(case), strict=True)]

    def _rooms(self, case: PreparedArrays) -> list[tuple[int, int]]:
        """Smallest and largest first voxel of a patch along each axis."""
        rooms = [size - n for size, n in zip(case.image.shape[1:], self._patch, strict=True)]
        return [(min(0, room), max(0, room)) for room in rooms]


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
