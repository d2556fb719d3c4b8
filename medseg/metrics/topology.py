"""Whether thin structures hang together: centre lines instead of volumes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def cl_dice(predicted: Mask, reference: Mask) -> float:
    """Centre line Dice: how much of each centre line lies inside the other mask.

    For vessels, airways and nerves, where a gap of one voxel matters and a wall one voxel too thick does not. The
    centre line is Lee's (1994) skeleton in 3D, Zhang's (1984) in 2D, of scikit-image; spacing plays no part.

    Args:
        predicted: Mask, shape ``(i, j, k)``; an axis of one voxel makes it 2D.
        reference: Mask of the same shape.

    Returns:
        In ``[0, 1]``; NaN if both masks are empty, 0 if one is.

    References:
        Shit et al., 2021, CVPR, equations 1 and 2.
    """
    if not predicted.any() and not reference.any():
        return math.nan
    if not (predicted.any() and reference.any()):
        return 0.0
    box = _box(predicted | reference)
    one, other = predicted[box], reference[box]
    precision, sensitivity = _share(skeleton(one), other), _share(skeleton(other), one)
    return 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0


def skeleton(mask: Mask) -> Mask:
    """Centre line of a mask, shape as the mask's.

    A part (of voxels that touch by faces, edges or corners) of which the thinning leaves nothing is its own centre
    line: scikit-image's in 3D makes tubes of 2x2 and 4x4 voxels vanish.
    """
    from skimage.morphology import skeletonize  # noqa: PLC0415 - half a second, for those who ask for it

    squeezed = mask.squeeze()
    if squeezed.ndim < 2:
        return mask.copy()
    line: Mask = skeletonize(np.ascontiguousarray(squeezed)).astype(np.bool_)
    parts, count = ndimage.label(squeezed, np.ones((3,) * squeezed.ndim))
    has_line = np.zeros(count + 1, np.bool_)
    has_line[parts[line]] = True
    return (line | squeezed & ~has_line[parts]).reshape(mask.shape)


def _share(line: Mask, mask: Mask) -> float:
    return float(np.count_nonzero(line & mask) / np.count_nonzero(line))


def _box(mask: Mask) -> tuple[slice, ...]:
    """Box of a mask with a margin of one voxel, so that what is cut off changes no centre line."""
    found = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        found.append(slice(max(0, int(filled[0]) - 1), int(filled[-1]) + 2))
    return tuple(found)
