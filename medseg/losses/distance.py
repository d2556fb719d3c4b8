"""Distances to a structure's surface, as far as a loss cares, on the device where the target is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SurfaceDistance(NamedTuple):
    """Distances in voxels, up to a reach; both of shape ``(b, s, *spatial)``.

    Attributes:
        outside: From each voxel to the nearest voxel of the structure; 0 within it.
        inside: From each voxel to the nearest voxel that is known not to be of the structure; 0 there.
    """

    outside: Tensor
    inside: Tensor


def surface_distance(inside: Tensor, valid: Tensor, reach: int) -> SurfaceDistance:
    """How far each voxel is from the other side of a structure's surface.

    Ignored voxels belong to neither side. A side that is nowhere, or farther away, is ``reach`` voxels away.

    Args:
        inside: Bool, shape ``(b, s, *spatial)``.
        valid: Bool, of the same shape: what is not ignored.
        reach: Largest distance in voxels, 1 to 100; time grows in proportion to it.
    """
    structures = inside.shape[1]
    both = capped_distance(torch.cat([inside & valid, ~inside & valid], 1), reach)
    return SurfaceDistance(both[:, :structures], both[:, structures:])


@torch.no_grad()
def capped_distance(seeds: Tensor, reach: int) -> Tensor:
    """Euclidean distance in voxels to the nearest seed, at most ``reach``; float32.

    Exact: the square of the distance is a sum over the axes, so its minimum can be taken axis by axis, and no seed
    within reach lies farther away than that along any axis. Each axis takes ``2 reach`` comparisons of shifted arrays,
    whatever the data, and nothing leaves the device.

    Args:
        seeds: Bool, shape ``(b, c, *spatial)``.
        reach: 1 to 100.

    References:
        Felzenszwalb and Huttenlocher, 2012, Theory of Computing 8:415 (the minimum by axes).
    """
    cap = reach * reach
    squared = torch.full(seeds.shape, cap, dtype=torch.int16, device=seeds.device).masked_fill_(seeds, 0)
    for axis in range(2, seeds.ndim):
        squared = _nearest_along(squared, axis, reach)
    return squared.float().sqrt_()


def _nearest_along(squared: Tensor, axis: int, reach: int) -> Tensor:
    nearest, size = squared.clone(), squared.shape[axis]
    for shift in range(1, min(reach, size)):
        ahead, behind = squared.narrow(axis, shift, size - shift), squared.narrow(axis, 0, size - shift)
        for place, source in ((0, ahead), (shift, behind)):
            here = nearest.narrow(axis, place, size - shift)
            torch.minimum(here, source + shift * shift, out=here)
    return nearest
