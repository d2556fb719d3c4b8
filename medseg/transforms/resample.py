"""Resampling between grids that cover the same extent.

Outer voxel *faces* coincide (``Geometry.with_shape``, scipy's ``grid_mode``, torch's ``align_corners=False``); beyond
the faces the image goes on with its border value. Interpolation is separable, so each axis is one small matrix: what
scipy does voxel by voxel becomes three matrix products. They are made of blocks, since a sample depends on a few
neighbours only, in the order that costs least, and along the axes as they lie in memory, so that nothing is copied
first. At most two arrays of the size of the image or the result are made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.core.geometry import Shape, Spacing
from medseg.core.labels import IGNORE_INDEX

Matrix = NDArray[np.float32]
Block = tuple[slice, slice, Matrix]
"""Rows and columns of a part of a matrix, and the part."""

_ANISOTROPY = 3.0
# As many samples as scipy prepends before it filters: the spline's memory of the border is then below float precision.
_SPLINE_PADDING = 12
_TIE = 1e-5
_BLOCK_ROWS = 32
_NEGLIGIBLE = 1e-8
"""Weights below this are lost in the rounding of float32, whose numbers have 24 bits."""


def resample_image(
    array: NDArray[np.float32], shape: Shape, order: Literal[1, 3] = 3, nearest_axis: int | None = None
) -> NDArray[np.float32]:
    """Image on a grid of another shape over the same extent.

    Args:
        array: Channels, shape ``(c, i, j, k)``.
        shape: Voxels along i, j, k afterwards.
        order: 1 for linear, 3 for cubic B-splines (which pass through the samples and may overshoot).
        nearest_axis: Axis that takes the nearest slice instead, see ``coarse_axis``.

    Returns:
        New array, shape ``(c, *shape)``.
    """
    result = np.empty((array.shape[0], *shape), np.float32)
    for channel, target in zip(array, result, strict=True):
        target[...] = resample_channel(channel, shape, order, nearest_axis)
    return result


def resample_channel(
    channel: NDArray[np.float32], shape: Shape, order: Literal[1, 3] = 3, nearest_axis: int | None = None
) -> NDArray[np.float32]:
    """One channel on a grid of another shape, see ``resample_image``; the array itself if nothing changes.

    The result lies in memory as the channel does.
    """
    if channel.shape == shape:
        return channel
    return _apply(channel, _matrices(channel.shape, shape, order, nearest_axis))


def resample_class_indices(
    array: NDArray[np.uint8], shape: Shape, nearest_axis: int | None = None
) -> NDArray[np.uint8]:
    """Class indices on a grid of another shape: in each voxel the class with the largest linear share.

    A tie goes to the structure rather than the background, and to the later of two structures. Voxels whose nearest
    source is ``IGNORE_INDEX`` are ignored too.

    Args:
        array: Class indices, shape ``(i, j, k)``.
        shape: Voxels along i, j, k afterwards.
        nearest_axis: Axis that takes the nearest slice instead, see ``coarse_axis``.

    Returns:
        New array of that shape.
    """
    matrices = _matrices(array.shape, shape, 1, nearest_axis)
    result = np.zeros(shape, np.uint8)
    best = np.zeros(shape, np.float32)
    background = np.ones(shape, np.float32)
    boxes: Sequence[tuple[slice, ...] | None] = ndimage.find_objects(array)
    for index, box in enumerate(boxes, start=1):
        if box is None:
            continue
        parts = [_restricted(matrix, part) for matrix, part in zip(matrices, box, strict=True)]
        target = tuple(rows for rows, _ in parts)
        share = _apply((array[box] == index).astype(np.float32), [matrix for _, matrix in parts])
        background[target] -= share
        if index != IGNORE_INDEX:
            wins = share >= np.maximum(best[target], _TIE)
            result[target][wins] = index
            np.maximum(best[target], share, out=best[target])
    result[best < background - _TIE] = 0
    if (array == IGNORE_INDEX).any():
        result[_nearest(array, shape) == IGNORE_INDEX] = IGNORE_INDEX
    return result


def resample_masks(array: NDArray[np.bool_], shape: Shape, nearest_axis: int | None = None) -> NDArray[np.bool_]:
    """Masks on a grid of another shape: true where the linear share is at least one half.

    Args:
        array: Masks, shape ``(s, i, j, k)``; they may overlap.
        shape: Voxels along i, j, k afterwards.
        nearest_axis: Axis that takes the nearest slice instead, see ``coarse_axis``.

    Returns:
        New array, shape ``(s, *shape)``.
    """
    matrices = _matrices(array.shape[1:], shape, 1, nearest_axis)
    result = np.zeros((array.shape[0], *shape), np.bool_)
    for mask, target in zip(array, result, strict=True):
        for box in ndimage.find_objects(mask.view(np.uint8)):
            parts = [_restricted(matrix, part) for matrix, part in zip(matrices, box, strict=True)]
            share = _apply(mask[box].astype(np.float32), [matrix for _, matrix in parts])
            target[tuple(rows for rows, _ in parts)] = share >= 0.5 - _TIE
    return result


def coarse_axis(before: Spacing, after: Spacing) -> int | None:
    """Axis across which slices lie too far apart to be interpolated, or None.

    That is the one axis more than three times as coarse as the finest, before resampling or else after it; if two axes
    share the largest spacing, none is.

    References:
        Isensee et al., 2021, Nature Methods 18:203 (nnU-Net), supplementary note on resampling.
    """
    for spacing in (before, after):
        if max(spacing) > _ANISOTROPY * min(spacing):
            coarse = [axis for axis, size in enumerate(spacing) if size > max(spacing) * (1 - 1e-3)]
            return coarse[0] if len(coarse) == 1 else None
    return None


def nearest_samples(before: int, after: int) -> NDArray[np.intp]:
    """Which of ``before`` samples each of ``after`` takes; halfway takes the later one."""
    return (2 * np.arange(after) + 1) * before // (2 * after)


def nearest_matrix(before: int, after: int) -> Matrix:
    """Matrix that takes the nearest of ``before`` samples, shape ``(after, before)``."""
    matrix = np.zeros((after, before), np.float32)
    matrix[np.arange(after), nearest_samples(before, after)] = 1
    return matrix


def linear_matrix(before: int, after: int) -> Matrix:
    """Matrix of linear interpolation along one axis, shape ``(after, before)``; rows sum to 1."""
    position = _positions(before, after).clip(0, before - 1)
    lower = np.floor(position).astype(np.intp)
    upper = np.minimum(lower + 1, before - 1)
    rows = np.arange(after)
    matrix = np.zeros((after, before))
    matrix[rows, upper] += position - lower
    matrix[rows, lower] += 1 - (position - lower)
    return matrix.astype(np.float32)


def cubic_matrix(before: int, after: int) -> Matrix:
    """Matrix of cubic B-spline interpolation along one axis, shape ``(after, before)``; rows sum to 1.

    References:
        Unser, 1999, IEEE Signal Processing Magazine 16(6):22.
    """
    if before == 1:
        return np.ones((after, 1), np.float32)
    padded = np.pad(np.eye(before), ((_SPLINE_PADDING, _SPLINE_PADDING), (0, 0)), mode="edge")
    coefficients = ndimage.spline_filter1d(padded, order=3, axis=0, mode="mirror")
    position = _positions(before, after) + _SPLINE_PADDING
    position = position.clip(1, len(padded) - 3)
    lower = np.floor(position).astype(np.intp)
    t = (position - lower)[:, None]
    taps = ((1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3)
    matrix = sum(weight / 6 * coefficients[lower + step] for step, weight in enumerate(taps, start=-1))
    return np.asarray(matrix, dtype=np.float32)


def _positions(before: int, after: int) -> NDArray[np.float64]:
    return (np.arange(after) + 0.5) * before / after - 0.5


def _nearest(array: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    return array[np.ix_(*(nearest_samples(n, m) for n, m in zip(array.shape, shape, strict=True)))]


def _matrices(before: Sequence[int], after: Shape, order: Literal[1, 3], nearest_axis: int | None) -> list[Matrix]:
    build = cubic_matrix if order == 3 else linear_matrix
    return [
        nearest_matrix(n, m) if axis == nearest_axis else build(n, m)
        for axis, (n, m) in enumerate(zip(before, after, strict=True))
    ]


def _restricted(matrix: Matrix, columns: slice) -> tuple[slice, Matrix]:
    """The rows that ``columns`` reach, and the matrix between the two."""
    rows = np.flatnonzero(matrix[:, columns].any(axis=1))
    reached = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
    return reached, matrix[reached, columns]


def _apply(array: NDArray[np.float32], matrices: Sequence[Matrix]) -> NDArray[np.float32]:
    """One matrix along each axis."""
    axes = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
    blocks = {place: _blocks(matrices[axis]) for place, axis in enumerate(axes) if not _is_identity(matrices[axis])}
    if not blocks:
        return array
    moved = np.ascontiguousarray(array.transpose(axes))
    for place in min(itertools.permutations(blocks), key=lambda order: _cost(moved.shape, blocks, order)):
        moved = _along(moved, blocks[place], place)
    return moved.transpose(np.argsort(axes))


def _is_identity(matrix: Matrix) -> bool:
    return matrix.shape[0] == matrix.shape[1] and np.allclose(matrix, np.eye(len(matrix)), atol=1e-6)


def _blocks(matrix: Matrix) -> list[Block]:
    """The matrix as blocks of rows, each with the columns that matter to it and what it holds in them."""
    blocks: list[Block] = []
    for start in range(0, len(matrix), _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, len(matrix)))
        used = np.flatnonzero((np.abs(matrix[rows]) > _NEGLIGIBLE).any(axis=0))
        columns = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
        blocks.append((rows, columns, matrix[rows, columns]))
    return blocks


def _rows(blocks: Sequence[Block]) -> int:
    return blocks[-1][0].stop if blocks else 0


def _cost(shape: Sequence[int], blocks: Mapping[int, list[Block]], order: Sequence[int]) -> int:
    """Multiplications that it takes to go along the axes in that order."""
    sizes, cost = list(shape), 0
    for axis in order:
        sizes[axis] = 1
        cost += math.prod(sizes) * sum(weights.size for _, _, weights in blocks[axis])
        sizes[axis] = _rows(blocks[axis])
    return cost


def _along(array: NDArray[np.float32], blocks: Sequence[Block], axis: int) -> NDArray[np.float32]:
    """A matrix along one axis of a contiguous array."""
    shape = list(array.shape)
    shape[axis] = _rows(blocks)
    result = np.empty(shape, np.float32)
    others = math.prod(shape[1:])
    source, target = (one.reshape(len(one), others) if axis == 0 else one for one in (array, result))
    for rows, columns, weights in blocks:
        if axis == 2:
            np.matmul(source[:, :, columns], weights.T, out=target[:, :, rows])
        elif axis == 1:
            np.matmul(weights, source[:, columns], out=target[:, rows])
        else:
            np.matmul(weights, source[columns], out=target[rows])
    return result
