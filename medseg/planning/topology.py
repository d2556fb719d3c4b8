"""How deep a U-Net goes for a patch, and along which axes it steps."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.config.networks import UNetSection

_SMALLEST_EDGE = 4
_MOST_LEVELS = 6


def unet_for(patch: Sequence[int], spacing: Sequence[float], base: int, most: int) -> UNetSection:
    """U-Net for a patch, with nnU-Net's rules (Isensee 2021, supplementary note 2).

    An axis is halved while at least four voxels remain, and only while its spacing is within a factor of two of the
    finest axis that can still be halved; kernels are 1 along an axis until the others have caught up with it.

    Args:
        patch: Wanted voxels along two or three axes; the levels follow from it, see ``fitted``.
        spacing: Voxel size along the same axes.
        base: Features of the finest level, doubled a level.
        most: Most features of any level.
    """
    edges, sizes = list(patch), list(spacing)
    strides = [(1,) * len(edges)]
    kernels = [_kernel(sizes)]
    while len(strides) < _MOST_LEVELS:
        open_axes = [axis for axis, edge in enumerate(edges) if edge >= 2 * _SMALLEST_EDGE]
        if not open_axes:
            break
        finest = min(sizes[axis] for axis in open_axes)
        step = tuple(2 if axis in open_axes and sizes[axis] < 2 * finest else 1 for axis in range(len(edges)))
        edges = [edge // s for edge, s in zip(edges, step, strict=True)]
        sizes = [size * s for size, s in zip(sizes, step, strict=True)]
        strides.append(step)
        kernels.append(_kernel(sizes))
    features = tuple(min(most, base * 2**level) for level in range(len(strides)))
    if len(strides) == 1:  # a tiny patch still needs one skip
        strides.append((1,) * len(edges))
        kernels.append(_kernel(sizes))
        features = (base, min(most, 2 * base))
    return UNetSection(
        dims=2 if len(edges) == 2 else 3, features=features, strides=tuple(strides), kernels=tuple(kernels)
    )


def fitted(patch: Sequence[int], network: UNetSection) -> tuple[int, ...]:
    """The patch rounded up to multiples of the network's strides."""
    return tuple(-(-edge // factor) * factor for edge, factor in zip(patch, network.factors, strict=True))


def _kernel(sizes: Sequence[float]) -> tuple[int, ...]:
    return tuple(1 if size > 2 * min(sizes) else 3 for size in sizes)
