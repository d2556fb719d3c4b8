"""Random rotation, zoom and mirroring: image and label through one grid, straight into the patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from medseg.config.training import AugmentationSection
from medseg.core.geometry import Shape

from .intensity import around_one

_ANISOTROPY = 3
_LARGEST_BLOCK = 1.5


@dataclass(frozen=True)
class SpatialParams:
    """Where the voxels of a patch come from.

    Attributes:
        patch: Shape of the result.
        rotation: Angles about the axes i, j, k, in radians; applied in this order.
        zoom: Factor by which things grow.
        mirrored: Axes of the result that are flipped.
    """

    patch: Shape
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    zoom: float = 1.0
    mirrored: tuple[int, ...] = ()


def source_patch(patch: Shape, section: AugmentationSection) -> Shape:
    """How large a block to cut so that a patch can be turned and zoomed out of its middle.

    At most one and a half times the patch along each axis: the rare corners beyond that are filled with zeros. Block
    and patch differ by an even number of voxels, so that they have one centre.
    """
    turns, zooms = section.rotation > 0 and section.rotation_degrees > 0, section.scaling > 0
    if not section.enabled or not (turns or zooms):
        return patch
    fixed = fixed_axis(patch)
    zoom = min(1.0, section.scale_range[0]) if zooms else 1.0
    angle = math.radians(section.rotation_degrees) if turns else 0.0
    block = []
    for axis, size in enumerate(patch):
        partner = max(n for other, n in enumerate(patch) if other not in (axis, fixed))
        # Half the diagonal points along the axis when turned by atan(partner / size): no angle needs more.
        worst = min(angle, math.atan2(partner, size))
        needed = (size * math.cos(worst) + partner * math.sin(worst)) / zoom
        extra = math.ceil(min(needed, _LARGEST_BLOCK * size)) - size
        block.append(size if axis == fixed else size + extra + extra % 2)
    return block[0], block[1], block[2]


def fixed_axis(patch: Shape) -> int | None:
    """The axis that is left out of rotation and zoom, or None.

    A patch that is more than three times longer along one axis than along its shortest covers few, thick slices (one
    in 2D); those are turned within their plane only, as in nnU-Net.
    """
    return patch.index(min(patch)) if max(patch) > _ANISOTROPY * min(patch) else None


def sample_spatial(section: AugmentationSection, dims: int, patch: Shape, rng: np.random.Generator) -> SpatialParams:
    """Draw rotation, zoom and mirroring."""
    fixed = fixed_axis(patch)
    angles = [0.0, 0.0, 0.0]
    if rng.random() < section.rotation:
        largest = math.radians(section.rotation_degrees)
        angles = [float(rng.uniform(-largest, largest)) if fixed in (None, axis) else 0.0 for axis in range(3)]
    zoom = around_one(section.scale_range, rng) if rng.random() < section.scaling else 1.0
    mirrored = tuple(axis for axis in section.mirror_axes if axis < dims and rng.random() < 0.5)
    return SpatialParams(patch, (angles[0], angles[1], angles[2]), zoom, mirrored)


def transform_space(image: Tensor, target: Tensor, params: SpatialParams) -> tuple[Tensor, Tensor]:
    """Image (linear) and target (nearest) of the patch; beyond the block both are zero.

    Args:
        image: Block, shape ``(c, i, j, k)``; the patch lies in its middle.
        target: Class indices ``(i, j, k)`` or masks ``(t, i, j, k)``, uint8.
        params: Where the voxels come from.

    Returns:
        New tensors of the patch's shape, with the same leading axes and dtypes.
    """
    masks = target if target.ndim == 4 else target[None]
    if any(params.rotation) or params.zoom != 1:
        image, masks = _resampled(image, masks, params)
    else:
        image, masks = _middle(image, params.patch), _middle(masks, params.patch)
    axes = [1 + axis for axis in params.mirrored]
    image, masks = image.flip(axes), masks.flip(axes)
    return image, masks if target.ndim == 4 else masks[0]


def _middle(block: Tensor, shape: Shape) -> Tensor:
    for axis, size in enumerate(shape, start=1):
        block = block.narrow(axis, (block.shape[axis] - size) // 2, size)
    return block


def _resampled(image: Tensor, masks: Tensor, params: SpatialParams) -> tuple[Tensor, Tensor]:
    fixed = fixed_axis(params.patch)
    axes = [axis for axis in range(3) if axis != fixed]
    theta = torch.from_numpy(_theta(params, image.shape[1:], axes)).to(image)
    grid = F.affine_grid(theta[None], [1, 1, *(params.patch[axis] for axis in axes)], align_corners=False)
    if fixed is not None:
        shape = [params.patch[axis] if axis == fixed else image.shape[1 + axis] for axis in range(3)]
        image, masks = (_middle(part, (shape[0], shape[1], shape[2])) for part in (image, masks))
    return _sampled(image, grid, fixed, "bilinear"), _sampled(masks.to(image), grid, fixed, "nearest").to(masks)


def _sampled(block: Tensor, grid: Tensor, fixed: int | None, mode: str) -> Tensor:
    """The block at the grid; slices along the fixed axis go as channels of a 2D image."""
    if fixed is None:
        return F.grid_sample(block[None], grid, mode, "zeros", align_corners=False)[0]
    slices = block.movedim(1 + fixed, 1)
    sampled = F.grid_sample(slices.flatten(0, 1)[None], grid, mode, "zeros", align_corners=False)[0]
    return sampled.view(*slices.shape[:2], *sampled.shape[1:]).movedim(1, 1 + fixed)


def _theta(params: SpatialParams, block: Sequence[int], axes: list[int]) -> NDArray[np.float64]:
    """What ``affine_grid`` wants: from the patch's to the block's coordinates, both in [-1, 1], last axis first."""
    patch, size = np.array(params.patch), np.array(block)
    # Patch and block have one centre, but where their sizes differ by an odd number the patch lies half a voxel before.
    shift = ((size - patch) // 2) - (size - patch) / 2
    matrix = _rotation(params.rotation) / params.zoom * patch[None, :] / size[:, None]
    order = axes[::-1]
    return np.concatenate([matrix[np.ix_(order, order)], (2 * shift / size)[order, None]], axis=1)


def _rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        one, other = (part for part in range(3) if part != axis)
        step = np.eye(3)
        step[[one, other], [one, other]] = math.cos(angle)
        step[one, other], step[other, one] = -math.sin(angle), math.sin(angle)
        rotation = step @ rotation
    return rotation
