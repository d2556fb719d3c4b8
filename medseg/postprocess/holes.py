"""Holes inside structures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .extent import extent


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with its enclosed holes filled: background that no path over voxel faces joins to the outside.

    Axes of one voxel do not count, so a ring in a 2D image (k = 1) is filled.

    Args:
        mask: Any number of dimensions; not changed.

    Returns:
        New mask of the same shape.
    """
    filled = mask.copy()
    box = extent(mask)
    if box is None:
        return filled
    thick = [axis for axis, n in enumerate(mask.shape) if n > 1]
    inside = filled[tuple(part if axis in thick else 0 for axis, part in enumerate(box))]
    if thick:
        inside |= _holes(inside)
    return filled


def _holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Components of the background that touch no face of the array."""
    components, count = ndimage.label(~mask)
    is_hole = np.ones(count + 1, np.bool_)
    is_hole[0] = False
    for axis in range(mask.ndim):
        for face in (0, -1):
            is_hole[components.take(face, axis=axis)] = False
    holes: NDArray[np.bool_] = is_hole[components]
    return holes
