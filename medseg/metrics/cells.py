"""Surface and inside of a mask, counted by cells: what lies between eight (in 2D four) neighbouring voxel centres.

Which of a cell's corners are inside is its code, and the code says how much surface the cell holds and which share of
it is inside: the triangles of marching cubes, but counted and looked up, not built. Where corners meet only across a
face or through the cell, the fewer are cut off singly, inside or outside alike, so that a mask and its complement have
the same surface, and a mirrored mask has that of the mask.

References:
    Lorensen and Cline, 1987, ACM SIGGRAPH 21:163.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def corner_codes(mask: Mask) -> NDArray[np.uint8]:
    """Code of each cell of a mask of two or three axes, around which all is outside.

    Returns:
        One more along each axis than the mask; the corner that comes first in memory has the highest bit.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for place, weight in zip(np.ndindex(*(2,) * mask.ndim), _weights(mask.ndim), strict=True):
        codes += padded[tuple(slice(p, p + n) for p, n in zip(place, codes.shape, strict=True))] * np.uint8(weight)
    return codes


def surface_sizes(edges: Floats) -> Floats:
    """Area of the surface in a cell (length in 2D), by code.

    Args:
        edges: How far a step along each of two or three axes goes in space, a column an axis.
    """
    if edges.shape[1] == 2:
        steps, owners = _lines()
        return _sums(owners, np.linalg.norm(steps @ edges.T, axis=1), 16)
    triangles, owners = _triangles()
    return _sums(owners, np.linalg.norm(_normals(triangles @ edges.T), axis=1), 256)


@lru_cache(maxsize=2)
def inside_shares(axes: int) -> Floats:
    """Which share of a cell lies inside, by code; for two or three axes."""
    if axes == 2:
        counts = _corners(2).reshape(16, 4).sum(axis=1)
        shares = np.where(_is_side(), 0.5, counts / 8)
    else:  # what flows out of the inside if it flows by (x, 0, 0)
        triangles, owners = _triangles()
        far_face = _corners(3)[:, 1].reshape(256, 4) @ np.array(_weights(2))
        outwards = -triangles[:, :, 0].mean(axis=1) * _normals(triangles)[:, 0]
        shares = inside_shares(2)[far_face] + _sums(owners, outwards, 256)
    return np.where(_is_less(axes), shares, 1 - shares[::-1])


def _weights(axes: int) -> list[int]:
    return [1 << bit for bit in range(2**axes - 1, -1, -1)]


def _corners(axes: int) -> Mask:
    """Corners that are inside, by code; shape ``(code, 2, 2[, 2])``."""
    codes = np.arange(2 ** (2**axes))
    inside: Mask = (codes[:, None] & np.array(_weights(axes)) > 0).reshape(-1, *(2,) * axes)
    return inside


def _is_less(axes: int) -> Mask:
    """Whether no more corners are inside than outside, by code; any other is the complement of such a one."""
    counts = _corners(axes).reshape(2 ** (2**axes), -1).sum(axis=1)
    less: Mask = counts <= 2 ** (axes - 1)
    return less


def _is_side() -> Mask:
    """Whether the corners inside are the two of one side, by code in 2D."""
    corners = _corners(2)
    side: Mask = (corners.reshape(16, 4).sum(axis=1) == 2) & (corners[:, 0, 0] != corners[:, 1, 1])
    return side


@lru_cache(maxsize=1)
def _triangles() -> tuple[Floats, Codes]:
    """Triangles in a cell of edge 1, shape ``(triangle, corner, axis)``, normals inwards; and the code of each."""
    from skimage.measure import marching_cubes  # noqa: PLC0415 - half a second, for those who measure shapes

    found, owners = [np.zeros((0, 3, 3))], []
    corners, is_less = _corners(3), _is_less(3)
    for code in range(1, 255):
        cell = corners[code if is_less[code] else 255 - code]
        points, faces, _, _ = marching_cubes(cell.astype(np.float32), 0.5, method="lorensen")
        found.append(points.astype(np.float64)[faces])
        owners += [code] * len(faces)
    return np.concatenate(found), np.array(owners)


@lru_cache(maxsize=1)
def _lines() -> tuple[Floats, Codes]:
    """Lines in a 2D cell of edge 1, as steps from end to end, shape ``(line, axis)``; and the code of each."""
    steps, owners = [], []
    corners, is_less, is_side = _corners(2), _is_less(2), _is_side()
    for code in range(1, 15):
        inside = np.argwhere(corners[code if is_less[code] else 15 - code])
        cuts = [inside[1] - inside[0]] if is_side[code] else [(0.5 - first, second - 0.5) for first, second in inside]
        steps += cuts
        owners += [code] * len(cuts)
    return np.array(steps, np.float64), np.array(owners)


def _normals(triangles: Floats) -> Floats:
    """A normal of each triangle, as long as the triangle is large."""
    sides = triangles[:, 1:] - triangles[:, :1]
    return np.asarray(np.cross(sides[:, 0], sides[:, 1]) / 2, np.float64)


def _sums(owners: Codes, values: Floats, codes: int) -> Floats:
    return np.bincount(owners, weights=values, minlength=codes).astype(np.float64)
