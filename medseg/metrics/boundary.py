"""Overlap of the rims of two masks, which a large interior cannot hide."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.core.errors import GeometryError
from medseg.core.geometry import Spacing

from .boxes import value_boxes
from .surface import SLACK

Mask = NDArray[np.bool_]
_FEW = 10
"""Steps a voxel up to which going to each neighbour is faster than measuring the distance of each voxel."""


def boundary_iou(predicted: Mask, reference: Mask, spacing: Spacing, width: float) -> float:
    """Intersection over union of the voxels of each mask that lie within ``width`` of its outside.

    Args:
        predicted: Mask, shape ``(i, j, k)``; an axis of one voxel is no direction.
        reference: Mask of the same shape.
        spacing: Voxel size along i, j, k.
        width: Depth of the rims, in units of the spacing, from voxel centre to voxel centre; what lies beyond the image
            is outside. At least the smallest side of a voxel is taken, as less would leave no rim.

    Returns:
        In ``[0, 1]``; NaN if both masks are empty, 0 if one is.

    Raises:
        GeometryError: If the shapes differ.

    References:
        Cheng et al., 2021, CVPR, equation 1.
    """
    if predicted.shape != reference.shape:
        raise GeometryError(f"the masks have different shapes: {predicted.shape} and {reference.shape}")
    sides = [side for side, n in zip(spacing, reference.shape, strict=True) if n > 1]
    width = max(width, min(sides, default=width))
    one, other = rim(predicted, spacing, width), rim(reference, spacing, width)
    union = np.count_nonzero(one | other)
    return math.nan if union == 0 else float(np.count_nonzero(one & other) / union)


def rim(mask: Mask, spacing: Spacing, width: float) -> Mask:
    """The voxels of a mask that lie within ``width`` of a voxel outside it; shape as the mask's."""
    found = np.zeros_like(mask)
    (box,) = value_boxes(mask.view(np.uint8), 1)
    if box is None:
        return found
    if max(mask.shape) == 1:
        return mask.copy()
    found[box] = mask[box] & _near_outside(mask[box], [n > 1 for n in mask.shape], spacing, width * SLACK)
    return found


def _near_outside(mask: Mask, axes: list[bool], spacing: Spacing, width: float) -> Mask:
    """Voxels within ``width`` of one that is not in the mask, such as those beyond it along the axes that count."""
    reach = [max(1, int(width / side)) if counts else 0 for counts, side in zip(axes, spacing, strict=True)]
    if math.prod(2 * one + 1 for one in reach) < _FEW * mask.size:
        inside = np.pad(mask, [(one, one) for one in reach])
        outer, offsets = _outer_border(inside), _offsets(reach, spacing, width)
        if len(offsets) * np.count_nonzero(outer) < _FEW * mask.size:
            return _inner(_dilated(outer, offsets), reach)
    margin = [int(counts) for counts in axes]
    inside = np.pad(mask, [(one, one) for one in margin])
    return _inner(ndimage.distance_transform_edt(inside, sampling=spacing) <= width, margin)


def _inner(padded: Mask, margin: list[int]) -> Mask:
    return padded[tuple(slice(one, n - one) for one, n in zip(margin, padded.shape, strict=True))]


def _offsets(reach: list[int], spacing: Spacing, width: float) -> NDArray[np.int64]:
    """Steps of voxels that are no longer than ``width``, shape ``(n, 3)``."""
    steps = np.indices([2 * one + 1 for one in reach]).reshape(3, -1).T - np.array(reach)
    near: NDArray[np.int64] = steps[np.sqrt(((steps * np.array(spacing)) ** 2).sum(axis=1)) <= width]
    return near


def _outer_border(inside: Mask) -> Mask:
    """Voxels outside that share a face with one inside; the outside voxel that is nearest to a voxel is one of them."""
    touched = np.zeros_like(inside)
    for axis, n in enumerate(inside.shape):
        if n > 1:
            into, source = np.moveaxis(touched, axis, 0), np.moveaxis(inside, axis, 0)
            into[1:] |= source[:-1]
            into[:-1] |= source[1:]
    border: Mask = touched & ~inside
    return border


def _dilated(points: Mask, offsets: NDArray[np.int64]) -> Mask:
    """All voxels that a step leads to from a point; steps beyond an axis end in the margin on its other side."""
    near, (_, rows, columns) = np.zeros(points.size, np.bool_), points.shape
    places = np.flatnonzero(points)
    for step in offsets @ np.array([rows * columns, columns, 1]):
        near[np.clip(places + step, 0, points.size - 1)] = True
    return near.reshape(points.shape)
