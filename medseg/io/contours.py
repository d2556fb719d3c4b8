"""Masks as closed polygons and back, voxel for voxel.

Points are in voxel indices of the mask: ``(0, 0)`` is the centre of the first pixel.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError

_CROSSINGS_AT_ONCE = 2**22
_TIE = 6
"""Decimals of a pixel to which points are rounded before they are filled: who owns a centre on a line is then certain,
whatever the last bits of a change of coordinates are."""

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]
_Indices = NDArray[np.int64]


def outlines(mask: Mask) -> tuple[Points, ...]:
    """Closed polygons around a mask, half way between its pixels and those outside; every hole is bridged in.

    They are the contours at 0.5 of marching squares (Lorensen and Cline, 1987), where pixels that touch by a corner
    are apart. A hole is joined to the line left of it by a bridge that is walked both ways, so that a reader that
    fills by parity and one that fills by union or winding see the same pixels. No line, bridges included, comes nearer
    to a pixel's centre than a quarter pixel. What lies in a hole is a polygon of its own.

    Time grows with the pixels of the mask's bounding box and with the length of the outline (n log n).

    Args:
        mask: Shape ``(i, j)``.

    Returns:
        Arrays of shape ``(points, 2)``, counter-clockwise, without a repeated last point and without points in the
        middle of a straight line; none if the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return ()
    cropped = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    places, following, starts = _bridged(np.pad(cropped, 1))
    kept = _is_corner(places, following)
    points = places / 4 + (rows[0] - 1, columns[0] - 1)
    rings = (np.array(ring) for ring in _rings(following.tolist(), starts.tolist()))
    return tuple(points[ring[kept[ring]]] for ring in rings)


def filled(polygons: Sequence[Points], shape: tuple[int, int]) -> Mask:
    """The pixels whose centres lie in an odd number of the polygons.

    A polygon that crosses itself is filled by parity too. A centre on a line belongs to the side of larger indices,
    so that polygons that share a line share no pixel. What lies outside the shape is cut off.

    Args:
        polygons: Arrays of shape ``(points, 2)``, closed by a line from the last point to the first.
        shape: Of the mask.

    Raises:
        GeometryError: If a point is not finite.
    """
    mask = np.zeros(shape, dtype=np.bool_)
    rows, columns, part = filled_part(polygons, shape)
    mask[rows, columns] = part
    return mask


def filled_part(polygons: Sequence[Points], shape: tuple[int, int]) -> tuple[slice, slice, Mask]:
    """As ``filled``, but only the rows and columns that the polygons reach: where they are, and their pixels."""
    lines = [np.hstack([points, np.roll(points, -1, axis=0)]) for points in polygons if len(points)]
    ends = np.concatenate(lines or [np.empty((0, 4))]).round(_TIE)
    if not np.isfinite(ends).all():
        raise GeometryError("a contour holds a point that is not finite")
    low, high = _reach(ends[:, 0::2], shape[0]), _reach(ends[:, 1::2], shape[1])
    rows, columns = slice(*low), slice(*high)
    return rows, columns, _parity(ends - (low[0], high[0], low[0], high[0]), (low[1] - low[0], high[1] - high[0]))


def _reach(coordinates: Points, size: int) -> tuple[int, int]:
    """First and one past the last index that lines reach, within the mask."""
    if not coordinates.size:
        return 0, 0
    first, last = np.clip((np.ceil(coordinates.min()), np.ceil(coordinates.max())), 0, size)
    return int(first), int(last)


def _parity(ends: Points, shape: tuple[int, int]) -> Mask:
    """Whether the way from the low end of a row to a centre crosses an odd number of lines."""
    ends = np.where((ends[:, :1] > ends[:, 2:3]), ends[:, [2, 3, 0, 1]], ends)
    first, stop = (np.clip(np.ceil(ends[:, column]), 0, shape[0]).astype(np.int64) for column in (0, 2))
    ends, first, counts = ends[stop > first], first[stop > first], (stop - first)[stop > first]
    toggles = np.zeros(shape[0] * (shape[1] + 1), dtype=np.int64)
    for part in _chunks(counts):
        line = np.repeat(np.arange(part.start, part.stop), counts[part])
        begin = np.cumsum(counts[part]) - counts[part]
        row = first[line] + np.arange(len(line)) - begin[line - part.start]
        slope = (ends[line, 3] - ends[line, 1]) / (ends[line, 2] - ends[line, 0])
        crossing = (ends[line, 1] + (row - ends[line, 0]) * slope).round(_TIE)
        column = np.clip(np.ceil(crossing), 0, shape[1]).astype(np.int64)
        toggles += np.bincount(row * (shape[1] + 1) + column, minlength=len(toggles))
    odd: Mask = np.cumsum(toggles.reshape(shape[0], shape[1] + 1)[:, :-1], axis=1) % 2 == 1
    return odd


def _chunks(counts: _Indices) -> list[slice]:
    """Runs of lines that together cross few enough rows to be worked on at once."""
    group = np.cumsum(counts) // _CROSSINGS_AT_ONCE
    bounds = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(counts)]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds) if stop > start]


def _bridged(mask: Mask) -> tuple[_Indices, _Indices, _Indices]:
    """The outlines of a mask with a margin, holes bridged in.

    Returns:
        Places in quarter pixels, shape ``(places, 2)``; for each the one that follows; one on each polygon.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415 - loading it takes a while
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    places, following, across = _crossings(mask)
    count = len(places)
    links = coo_array((np.ones(count, dtype=np.int8), (np.arange(count), following)), shape=(count, count))
    ring = connected_components(links, directed=False)[1]
    leftmost = np.unique(ring[:across], return_index=True)[1]
    is_hole = mask[tuple((places[leftmost] - (2, 0)).T // 4)]
    holes = leftmost[is_hole]
    before = np.empty(across, dtype=np.int64)
    order = np.lexsort((places[:across, 0], places[:across, 1]))
    before[order[1:]] = order[:-1]
    return *_spliced(places, following, holes, before[holes]), leftmost[~is_hole]


def _spliced(places: _Indices, following: _Indices, holes: _Indices, walls: _Indices) -> tuple[_Indices, _Indices]:
    """Lead the line that comes to each wall once around the hole right of it, over a bridge a quarter pixel up.

    The crossings of a hole and of its wall are the ends of a run of foreground pixels in one row, so between them,
    less than half a pixel off the row, all is foreground.
    """
    count, bridges = len(places), len(holes)
    preceding = np.empty(count, dtype=np.int64)
    preceding[following] = np.arange(count)
    # The line comes down to a wall and goes up from a hole, by half a pixel or a whole one.
    near_wall, near_hole = (_quarter_up(places[ends], places[others]) for ends, others in (
        (walls, preceding[walls]), (holes, following[holes])
    ))  # fmt: skip
    there, arrive, leave, back = (count + part * bridges + np.arange(bridges) for part in range(4))
    joined = np.concatenate([following, arrive, following[holes], back, walls])
    joined[preceding[walls]] = there
    joined[holes] = leave
    return np.concatenate([places, near_wall, near_hole, near_hole, near_wall]), joined


def _quarter_up(ends: _Indices, others: _Indices) -> _Indices:
    """The point of each line that lies a quarter pixel above its lower end."""
    step = others - ends
    point: _Indices = ends + step // step[:, 1:]
    return point


def _crossings(mask: Mask) -> tuple[_Indices, _Indices, int]:
    """Where neighbouring pixels differ, and which crossing follows on the line that has the foreground on its left.

    Returns:
        Places in quarter pixels, shape ``(crossings, 2)``: those between neighbours along i come first, sorted by i
        and then by j; the one that follows each; the number of those along i.
    """
    grid = np.zeros((2 * mask.shape[0], 2 * mask.shape[1]), dtype=np.bool_)
    grid[::2, ::2] = mask
    width = grid.shape[1]
    along_i, along_j = np.nonzero(mask[1:] != mask[:-1]), np.nonzero(mask[:, 1:] != mask[:, :-1])
    at = np.concatenate([(2 * along_i[0] + 1) * width + 2 * along_i[1], 2 * along_j[0] * width + 2 * along_j[1] + 1])
    across = len(along_i[0])
    sign = np.where(np.concatenate([mask[along_i], mask[along_j]]), 1, -1)
    ahead = sign * np.where(np.arange(len(at)) < across, 1, -width)
    left = sign * np.where(np.arange(len(at)) < across, -width, -1)
    pixels = grid.ravel()
    far_left, far_right = pixels[at + left + 2 * ahead], pixels[at - left + 2 * ahead]
    leads_to = np.where(far_left, np.where(far_right, at - left + ahead, at + 2 * ahead), at + left + ahead)
    number = np.empty(grid.size, dtype=np.int64)
    number[at] = np.arange(len(at))
    return 2 * np.stack(np.divmod(at, width), axis=1), number[leads_to], across


def _is_corner(places: _Indices, following: _Indices) -> Mask:
    """Whether the line turns at each place."""
    step = places[following] - places
    after = step[following]
    corner = np.empty(len(places), dtype=np.bool_)
    corner[following] = (step[:, 0] * after[:, 1] != step[:, 1] * after[:, 0]) | ((step * after).sum(axis=1) < 0)
    return corner


def _rings(following: list[int], starts: list[int]) -> list[list[int]]:
    """The places of each polygon, in order."""
    rings = []
    for start in starts:
        ring, at = [start], following[start]
        while at != start:
            ring.append(at)
            at = following[at]
        rings.append(ring)
    return rings
