"""Distances from the voxels of one mask to the nearest voxels of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Steps = NDArray[np.int64]
_LOOKS = 512
_BALL = {1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}  # of radius 1


@dataclass(frozen=True, eq=False)
class _Surroundings:
    """Places around a voxel, from near to far.

    Attributes:
        reach: How many voxels they go along each axis.
        shells: Distance, and the steps in voxels that are so long, shape ``(step, axis)``.
    """

    reach: tuple[int, ...]
    shells: tuple[tuple[float, Steps], ...]


def nearest_distances(points: Mask, targets: Mask, spacing: Sequence[float]) -> Floats:
    """Distance from each voxel of one mask to the nearest voxel of another, centre to centre.

    The few hundred places around each voxel are looked at from near to far; only voxels that find nothing there go
    through a k-d tree. Two outlines of one organ are mostly close, and looking is then several times faster.

    Args:
        points: Mask of one to three axes; an axis of one voxel is no direction.
        targets: Mask of the same shape.
        spacing: Voxel size along each axis.

    Returns:
        In units of the spacing, in the order of ``np.argwhere(points)``; infinite if there is no target.
    """
    found = np.full(np.count_nonzero(points), np.inf)
    if not found.size or not targets.any():
        return found
    shape, sides = _directions(points.shape, spacing)
    points, targets = points.reshape(shape), targets.reshape(shape)
    left = _look_around(points, targets, _surroundings(sides), found)
    if left.size:
        tree = KDTree(np.argwhere(targets) * np.array(sides), balanced_tree=False, compact_nodes=False)
        found[left] = tree.query(np.argwhere(points)[left] * np.array(sides))[0]
    return found


def _directions(shape: Sequence[int], spacing: Sequence[float]) -> tuple[list[int], tuple[float, ...]]:
    """Length and voxel size of the axes that are longer than one voxel; of the first if none is."""
    axes = [axis for axis, n in enumerate(shape) if n > 1] or [0]
    return [shape[axis] for axis in axes], tuple(float(spacing[axis]) for axis in axes)


def _look_around(points: Mask, targets: Mask, around: _Surroundings, found: Floats) -> NDArray[np.intp]:
    """Fill in the distances of voxels that have a target around; the rest is returned."""
    padded = np.zeros([n + 2 * reach for n, reach in zip(points.shape, around.reach, strict=True)], np.bool_)
    inner = tuple(slice(reach, reach + n) for n, reach in zip(points.shape, around.reach, strict=True))
    padded[inner] = points
    place, left = np.flatnonzero(padded), np.arange(found.size)
    padded[inner] = targets
    flat, strides = padded.reshape(-1), np.array(padded.strides)
    farthest = int(np.dot(around.reach, strides))
    place -= farthest  # no index is negative, whatever the step
    for distance, steps in around.shells:
        hit = np.zeros(place.size, np.bool_)
        for step in (steps @ strides).tolist():
            hit |= flat[farthest + step :].take(place)
        found[left[hit]] = distance
        left, place = left[~hit], place[~hit]
        if not left.size:
            break
    return left


@lru_cache(maxsize=64)
def _surroundings(sides: tuple[float, ...]) -> _Surroundings:
    radius = (_LOOKS * math.prod(sides) / _BALL[len(sides)]) ** (1 / len(sides))
    most = [int(radius / side) for side in sides]
    steps = np.indices([2 * reach + 1 for reach in most]).reshape(len(sides), -1).T - np.array(most)
    lengths = np.sqrt(np.square(steps * np.array(sides)).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    lengths, steps = lengths[order], steps[order]
    edges = [0, *(np.flatnonzero(np.diff(lengths) > 1e-9 * radius) + 1).tolist(), len(lengths)]
    whole = [(first, last) for first, last in pairwise(edges) if last <= _LOOKS and lengths[first] <= radius]
    shells = tuple((float(lengths[first]), steps[first:last]) for first, last in whole)
    return _Surroundings(tuple(np.abs(steps[: whole[-1][1]]).max(axis=0).tolist()), shells)
