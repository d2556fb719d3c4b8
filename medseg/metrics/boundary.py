"""Overlap of the rims of two masks, which a large interior cannot hide."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.core.errors import GeometryError
from medseg.core.geometry import Spacing

Mask = NDArray[np.bool_]


def boundary_iou(predicted: Mask, reference: Mask, spacing: Spacing, width: float) -> float:
    """Intersection over union of the voxels of each mask that lie within ``width`` of its outside.

    Args:
        predicted: Mask, shape ``(i, j, k)``; an axis of one voxel is no direction.
        reference: Mask of the same shape.
        spacing: Voxel size along i, j, k.
        width: Depth of the rims, in units of the spacing, from voxel centre to voxel centre; what lies beyond the image
            is outside.

    Returns:
        In ``[0, 1]``; NaN if both masks are empty, 0 if one is.

    Raises:
        GeometryError: If the shapes differ.

    References:
        Cheng et al., 2021, CVPR, equation 1.
    """
    if predicted.shape != reference.shape:
        raise GeometryError(f"the masks have different shapes: {predicted.shape} and {reference.shape}")
    one, other = rim(predicted, spacing, width), rim(reference, spacing, width)
    union = np.count_nonzero(one | other)
    return math.nan if union == 0 else float(np.count_nonzero(one & other) / union)


def rim(mask: Mask, spacing: Spacing, width: float) -> Mask:
    """The voxels of a mask that lie within ``width`` of a voxel outside it; shape as the mask's."""
    found = np.zeros_like(mask)
    boxes = ndimage.find_objects(mask.view(np.uint8))
    if not boxes:
        return found
    box = boxes[0]
    flat = [n == 1 for n in mask.shape]
    if all(flat):
        return mask.copy()
    around = [(0, 0) if is_flat else (1, 1) for is_flat in flat]
    inside = np.pad(mask[box], around)
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)
    inner = tuple(slice(None) if is_flat else slice(1, -1) for is_flat in flat)
    found[box] = mask[box] & (depth[inner] <= width)
    return found
