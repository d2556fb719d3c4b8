"""Which patch comes next: cut from which case, around which voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import CaseId
from medseg.core.errors import DataError
from medseg.core.geometry import Shape

from .cache import PreparedArrays

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Patch:
    """A block of one case: image ``(channel, *shape)``, target ``(*shape)`` or ``(target, *shape)``."""

    image: NDArray[np.float32]
    target: NDArray[np.uint8]
    case: CaseId


class PatchSampler:
    """Draws patches so that every structure is reached, rare ones included.

    A share of the patches is centred on a structure: first the structure is drawn, all alike unless chances are given,
    then one of the cases that hold it, then one of its voxels. The others lie anywhere in any case; in a case of which
    only a part is labelled (the rest is ignored), they are centred on a voxel that is.

    Args:
        cases: Preprocessed cases, at least one.
        patch: Voxels of a patch; patches reach beyond images that are smaller, and only beyond those.
        block: Voxels that are cut out around each patch, for augmentation to turn and zoom; zeros beyond the image.
        foreground: Share of the patches centred on a structure.
        chances: Of each case and structure to be the next centre, shape ``(cases, structures)``; sums to 1.
    """

    def __init__(
        self,
        cases: Sequence[PreparedArrays],
        patch: Shape,
        block: Shape,
        foreground: float,
        chances: NDArray[np.float64] | None = None,
    ) -> None:
        if not cases:
            raise DataError("no case to draw patches from")
        self._cases = list(cases)
        self._patch = patch
        self._block = block
        self._foreground = foreground
        targets = range(len(cases[0].foreground))
        holders = [[n for n, case in enumerate(cases) if len(case.foreground[target])] for target in targets]
        self._holders = {target: found for target, found in zip(targets, holders, strict=True) if found}
        self._of_target: NDArray[np.float64] | None = None
        self._of_case: dict[int, NDArray[np.float64]] = {}
        if chances is not None and self._holders:
            self._of_target = _shares(chances[:, [*self._holders]].sum(0))
            self._of_case = {target: _shares(chances[found, target]) for target, found in self._holders.items()}

    def draw(self, rng: np.random.Generator) -> Patch:
        """The next block, with its patch in the middle."""
        if self._holders and rng.random() < self._foreground:
            case, start = self._on_a_structure(rng)
        else:
            case, start = self._anywhere(rng)
        first = [s - (b - p) // 2 for s, b, p in zip(start, self._block, self._patch, strict=True)]
        return Patch(cut(case.image, first, self._block), cut(case.target, first, self._block), case.id)

    def _on_a_structure(self, rng: np.random.Generator) -> tuple[PreparedArrays, list[int]]:
        target = int(rng.choice([*self._holders], p=self._of_target))
        case = self._cases[int(rng.choice(self._holders[target], p=self._of_case.get(target)))]
        return case, self._around(case, case.foreground[target], rng)

    def _anywhere(self, rng: np.random.Generator) -> tuple[PreparedArrays, list[int]]:
        case = self._cases[int(rng.integers(len(self._cases)))]
        if case.labelled is not None and len(case.labelled):
            return case, self._around(case, case.labelled, rng)
        return case, [int(rng.integers(low, high + 1)) for low, high in self._rooms(case)]

    def _around(self, case: PreparedArrays, voxels: NDArray[np.int32], rng: np.random.Generator) -> list[int]:
        """First voxel of a patch centred on one of the voxels, as far as the image allows."""
        centre = voxels[int(rng.integers(len(voxels)))]
        start = [int(c) - n // 2 for c, n in zip(centre, self._patch, strict=True)]
        return [min(max(s, low), high) for s, (low, high) in zip(start, self._rooms(case), strict=True)]

    def _rooms(self, case: PreparedArrays) -> list[tuple[int, int]]:
        """Smallest and largest first voxel of a patch along each axis."""
        rooms = [size - n for size, n in zip(case.image.shape[1:], self._patch, strict=True)]
        return [(min(0, room), max(0, room)) for room in rooms]


def _shares(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = chances / chances.sum()
    return shares


def cut(array: NDArray[T], start: Sequence[int], shape: Shape) -> NDArray[T]:
    """Copy of the block of the last three axes that begins at ``start``; zeros where it lies beyond the array."""
    block = np.empty((*array.shape[: array.ndim - 3], *shape), dtype=array.dtype)
    cut_into(block, array, start)
    return block


def cut_into(block: NDArray[T], array: NDArray[T], start: Sequence[int]) -> None:
    """As ``cut``, into memory that is there."""
    size, shape = array.shape[-3:], block.shape[-3:]
    source = [slice(max(0, first), min(n, first + m)) for first, m, n in zip(start, shape, size, strict=True)]
    if any(part.stop - part.start < m for part, m in zip(source, shape, strict=True)):
        block[...] = 0
    if all(part.start < part.stop for part in source):
        place = [slice(part.start - first, part.stop - first) for part, first in zip(source, start, strict=True)]
        lead = (slice(None),) * (array.ndim - 3)
        block[(*lead, *place)] = array[(*lead, *source)]
