"""Copies of fewer voxels, for images that are too large for a browser, and the way back from what is drawn on them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.core.geometry import Box, Geometry, LengthUnit, Shape

Factor = tuple[int, int, int]
"""How many voxels of each axis become one."""
WHOLE: Factor = (1, 1, 1)
MOST_A_SIDE = 2048
"""Voxels along one axis of a 3D texture that browsers take (MAX_3D_TEXTURE_SIZE of common ones)."""
Bytes = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)


def copy_factor(grid: Geometry, most_voxels: int, most_a_side: int = MOST_A_SIDE) -> Factor:
    """The smallest reduction to at most ``most_voxels``, and ``most_a_side`` along each axis; 1 if the grid fits.

    The two axes in the plane of the slices go together; the third, which has the largest spacing or is the last of
    equals, is reduced when its voxels are the finer ones.
    """
    across = _across(grid)
    in_plane = [axis for axis in range(3) if axis != across]
    factor = [1, 1, 1]
    while True:
        shape = _reduced(grid.shape, factor)
        too_long = [axis for axis in range(3) if shape[axis] > most_a_side]
        if not too_long and math.prod(shape) <= most_voxels:
            return factor[0], factor[1], factor[2]
        is_across = too_long == [across] or (
            not set(too_long) & set(in_plane) and _next(grid, factor, [across]) < _next(grid, factor, in_plane)
        )
        for axis in [across] if is_across else in_plane:
            factor[axis] += grid.shape[axis] > factor[axis]


def copy_grid(grid: Geometry, factor: Factor) -> Geometry:
    """The grid of the copy: each voxel lies at the centre of its block, also where the last block is not full."""
    affine = grid.affine.copy()
    scale = np.array(factor, dtype=np.float64)
    affine[:3, :3] = grid.affine[:3, :3] * scale
    affine[:3, 3] += grid.affine[:3, :3] @ ((scale - 1) / 2)
    return Geometry(_reduced(grid.shape, factor), affine, grid.unit)


def copy_notice(grid: Geometry, factor: Factor) -> str:
    """What a reader has to know of a copy, in a sentence; empty where nothing is reduced."""
    if factor == WHOLE:
        return ""
    axes = [axis for axis in range(3) if factor[axis] > 1]
    unit = "mm" if grid.unit is LengthUnit.MM else "pixels"
    shown = _sizes([grid.spacing[axis] * factor[axis] for axis in axes])
    kept = _sizes([grid.spacing[axis] for axis in axes])
    block = " x ".join(map(str, factor))
    return (
        f"shown at {shown} {unit}; edits are made at {kept} {unit}: a stroke changes whole blocks of {block} voxels, "
        "all others stay as they are, and what is thinner than a block looks thicker than it is"
    )


def block_means(array: NDArray[np.generic], factor: Factor) -> NDArray[np.generic]:
    """Mean of each block of ``(i, j, k)``, in the array's type, rounded where that holds integers."""
    total = np.float32 if array.dtype.itemsize <= 2 else np.float64
    summed = sum(view.astype(total) for view in _views(_filled(array, factor, "constant"), factor))
    counts = np.ones((1, 1, 1), dtype=total)
    for axis, (n, step) in enumerate(zip(array.shape, factor, strict=True)):
        lengths = np.minimum(np.arange(0, n, step) + step, n) - np.arange(0, n, step)
        counts = counts * lengths.reshape([-1 if other == axis else 1 for other in range(3)]).astype(total)
    mean = np.asarray(summed / counts)
    return (np.rint(mean) if array.dtype.kind in "iu" else mean).astype(array.dtype)


def block_labels(array: Bytes, factor: Factor) -> Bytes:
    """One label of each block, such that no structure vanishes because it is thin.

    It is the most frequent one, foreground before background where both are. Then, for each block, the most frequent
    foreground label that lost is put in its place if no block around it shows that label either. So each voxel of a
    structure is shown within one block, unless another structure that is as little seen has more voxels there.

    Args:
        array: Labels, shape ``(i, j, k)``; 0 is background.
        factor: How many of them make a block.
    """
    views = list(_views(_filled(array, factor, "edge"), factor))
    shown = views[0].copy(order="K")
    mixed = np.nonzero(np.logical_or.reduce([one != views[0] for one in views[1:]] or [np.zeros_like(shown, bool)]))
    there = np.stack([one[mixed] for one in views])
    votes = np.stack([(there == one).sum(axis=0) for one in there])
    winner = _best(there, 2 * votes + (there != 0))
    shown[mixed] = winner
    lost = np.where((there != 0) & (there != winner), votes, 0)
    loser, is_loser = _best(there, lost), lost.any(axis=0)
    hidden = is_loser & ~_seen_around(shown, mixed, loser, factor)
    shown[tuple(index[hidden] for index in mixed)] = loser[hidden]
    return shown


def put_blocks(
    native: NDArray[np.generic], changed: NDArray[np.bool_], values: NDArray[np.generic], factor: Factor
) -> None:
    """Set, in place, the blocks of the changed voxels of a copy to these voxels' values; all others stay untouched.

    Args:
        native: Shape ``(i, j, k)``, of a type that holds the values.
        changed: Which voxels of the copy, shape of the copy.
        values: Of the copy's voxels.
        factor: How many native voxels make one.
    """
    for offset in itertools.product(*map(range, factor)):
        part = native[tuple(slice(start, None, step) for start, step in zip(offset, factor, strict=True))]
        inside = tuple(slice(0, n) for n in part.shape)
        np.copyto(part, values[inside], casting="unsafe", where=changed[inside])


def slabs(shape: Shape, factor: Factor, bytes_each: int, most_bytes: int) -> Iterator[Box]:
    """Boxes of whole blocks along k that cover a grid, each of about ``most_bytes`` at most."""
    blocks = max(1, most_bytes // max(1, shape[0] * shape[1] * factor[2] * bytes_each))
    step = blocks * factor[2]
    for start in range(0, shape[2], step):
        yield slice(0, shape[0]), slice(0, shape[1]), slice(start, min(start + step, shape[2]))


def _across(grid: Geometry) -> int:
    """The axis across the slices: a single one if there is, else that of the largest spacing, of equals the last."""
    single = [axis for axis in range(3) if grid.shape[axis] == 1]
    if single:
        return single[-1]
    spacing = np.round(grid.spacing, 4)
    return int(np.flatnonzero(spacing == spacing.max())[-1])


def _next(grid: Geometry, factor: list[int], axes: list[int]) -> float:
    """The smallest size of a voxel along axes if they are reduced once more; infinite if they cannot be."""
    left = [axis for axis in axes if factor[axis] < grid.shape[axis]]
    return min((grid.spacing[axis] * (factor[axis] + 1) for axis in left), default=math.inf)


def _reduced(shape: Shape, factor: list[int] | Factor) -> Shape:
    i, j, k = (-(-n // step) for n, step in zip(shape, factor, strict=True))
    return i, j, k


def _sizes(values: list[float]) -> str:
    words = [f"{value:.3g}" for value in values]
    return words[0] if len(set(words)) == 1 else " x ".join(words)


def _filled(array: NDArray[T], factor: Factor, mode: Literal["constant", "edge"]) -> NDArray[T]:
    """The array with full blocks only: zeros, or the last voxels, repeated."""
    missing = [(0, -n % step) for n, step in zip(array.shape, factor, strict=True)]
    return np.pad(array, missing, mode=mode) if any(after for _, after in missing) else array


def _views(array: NDArray[T], factor: Factor) -> Iterator[NDArray[T]]:
    """The voxels at each place within the blocks."""
    for offset in itertools.product(*map(range, factor)):
        yield array[tuple(slice(start, None, step) for start, step in zip(offset, factor, strict=True))]


def _best(there: Bytes, scores: NDArray[np.integer]) -> Bytes:
    """The value of the highest score, the first of equals; both have a row for each place within the blocks."""
    best: Bytes = np.take_along_axis(there, scores.argmax(axis=0)[np.newaxis], axis=0)[0]
    return best


def _seen_around(
    shown: Bytes, places: tuple[NDArray[np.intp], ...], wanted: Bytes, factor: Factor
) -> NDArray[np.bool_]:
    """Which places have a block beside them, over edges and corners along the reduced axes, that shows the wanted."""
    padded = np.pad(shown, 1)
    seen = np.zeros(wanted.shape, np.bool_)
    for moved in itertools.product(*[(-1, 0, 1) if step > 1 else (0,) for step in factor]):
        around = tuple(place + 1 + by for place, by in zip(places, moved, strict=True))
        seen |= padded[around] == wanted
    return seen
