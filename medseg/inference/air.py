"""Which windows over an image have to be looked at, where there is a body in it and air around."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from medseg.core.geometry import Box, Shape
from medseg.transforms.body import Body

from .windows import Window, WindowGrid

_LEAST_SHARE = 0.02


def windows_around(body: Body, window: Window) -> WindowGrid:
    """The windows over an image, without those that hold only air.

    They lie where they lie over the whole image, and see what they see there, so the network says the same. Outer rows
    of windows that the body does not reach are left out, and with them a part of the image; of the others, those that
    hold only air are named. What of the body reaches into the rim of a window, where less than a fiftieth of the
    importance is its own, does not count.

    Args:
        body: In the image.
        window: What the network sees at once.

    Returns:
        The windows; all of them if there is no body.
    """
    whole = WindowGrid(body.shape, window)
    box = body.box
    if box is None:
        return whole
    grid = _reduced(whole, box)
    return replace(grid, air=frozenset(_of_air(body, grid)))


def left_out(grid: WindowGrid, whole: WindowGrid) -> Shape | None:
    """First voxel of a window over the whole image that is not looked at, one of the middle; None if all are."""
    kept = {
        tuple(first + o for first, o in zip(start, grid.origin, strict=True))
        for start in grid.positions
        if start not in grid.air
    }
    others = [start for start in whole.positions if start not in kept]
    return others[len(others) // 2] if others else None


def _reduced(whole: WindowGrid, box: Box) -> WindowGrid:
    """The rows of windows that a box reaches, over the part of the image that they cover."""
    i, j, k = (_row(whole, axis, part) for axis, part in enumerate(box))
    shape, origin = (i.length, j.length, k.length), (i.first, j.first, k.first)
    return WindowGrid(shape, whole.window, (i.starts, j.starts, k.starts), origin)


@dataclass(frozen=True)
class _Row:
    """Some windows along one axis: what they cover of the image, and where they begin in that."""

    first: int
    length: int
    starts: tuple[int, ...]


def _row(whole: WindowGrid, axis: int, part: slice) -> _Row:
    """The windows along an axis of which the core meets a part of it."""
    starts, size = whole.starts[axis], whole.window.roi[axis]
    kept = [start for start in starts if _meet(whole.core(axis, start, _LEAST_SHARE), part)] or [*starts]
    first, last = max(0, kept[0]), min(whole.shape[axis], kept[-1] + size)
    return _Row(first, last - first, tuple(start - first for start in kept))


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _of_air(body: Body, grid: WindowGrid) -> Iterator[Shape]:
    """First voxels of the windows of which the body does not meet the core."""
    cores = [{first: grid.core(axis, first, _LEAST_SHARE) for first in grid.starts[axis]} for axis in range(3)]
    for start in grid.positions:
        parts = (of_axis[first] for of_axis, first in zip(cores, start, strict=True))
        i, j, k = (slice(part.start + o, part.stop + o) for part, o in zip(parts, grid.origin, strict=True))
        if not body.reaches((i, j, k)):
            yield start
