"""How deep a network goes for a patch, and along which axes it steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, assert_never

from medseg.config.networks import (
    AttentionUNetSection,
    DeepLabSection,
    MedNeXtSection,
    NetworkChoice,
    NetworkSection,
    ResEncSection,
    SegResNetSection,
    SwinUNETRSection,
    UNetSection,
)

_SMALLEST_EDGE = 4
_MOST_LEVELS = 6
_MOST_FEATURES = {2: 512, 3: 320}
_MOST_SMALL = 128  # features of unet_small, see docs/benchmarks.md, "A 2D network for live pictures"
_RESENC_BLOCKS = (1, 3, 4, 6, 6, 6)
_SEGRESNET_BLOCKS = (1, 2, 2, 4)
# DeepLab steps down to an eighth, while its pyramid still sees eight voxels; its rates are 6, 12 and 18 of the 33
# voxels that the paper's images have there (Chen 2018).
_DEEPLAB_LEVELS = 4
_DEEPLAB_EDGE = 8
_DEEPLAB_RATES = (6 / 33, 12 / 33, 18 / 33)

Steps = tuple[tuple[int, ...], ...]


def network_for(choice: NetworkChoice, patch: Sequence[int], spacing: Sequence[float], base: int) -> NetworkSection:
    """The network of a kind that suits a patch.

    Args:
        choice: Which kind.
        patch: Wanted voxels along two or three axes; the network may need a little more or less, see ``fitted``.
        spacing: Voxel size along the same axes.
        base: Features of the finest level, one of ``widths``.
    """
    dims = _dims(patch)
    steps = min(4, max(2, int(math.log2(max(1, min(patch) / _SMALLEST_EDGE)))))
    match choice:
        case NetworkChoice.UNET | NetworkChoice.UNET_SMALL:
            is_small = choice == NetworkChoice.UNET_SMALL
            return unet_for(patch, spacing, base, _MOST_SMALL if is_small else _MOST_FEATURES[dims])
        case NetworkChoice.RESENC_M | NetworkChoice.RESENC_L:
            return _resenc(patch, spacing, base)
        case NetworkChoice.DEEPLAB:
            return _deeplab(patch, spacing, base)
        case NetworkChoice.ATTENTION_UNET:
            return _attention_unet(patch, spacing, base)
        case NetworkChoice.SEGRESNET:
            blocks = _SEGRESNET_BLOCKS[: 1 + min(3, steps)]
            return SegResNetSection(dims=dims, features=base, blocks_down=blocks, blocks_up=(1,) * (len(blocks) - 1))
        case NetworkChoice.SWIN_UNETR:
            return SwinUNETRSection(dims=dims, features=base)
        case NetworkChoice.MEDNEXT:
            twos = (2,) * steps
            return MedNeXtSection(
                dims=dims, features=base, blocks_down=twos, blocks_up=twos, expansion_down=twos, expansion_up=twos
            )
        case _:
            assert_never(choice)


def widths(choice: NetworkChoice, *, is_cpu: bool) -> tuple[int, ...]:
    """Features of the finest level that a plan may choose from, widest first; a GPU has room for the widest."""
    match choice:
        case NetworkChoice.SEGRESNET:
            sizes: tuple[int, ...] = (32, 24, 16, 8)
        case NetworkChoice.SWIN_UNETR:
            sizes = (48, 24, 12)
        case NetworkChoice.UNET_SMALL:
            sizes = (16, 12, 8)
        case _:
            sizes = (32, 24, 16, 12, 8)
    return sizes if is_cpu else sizes[:1]


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
    strides, kernels = _levels(patch, spacing)
    return UNetSection(dims=_dims(patch), features=_doubled(base, most, strides), strides=strides, kernels=kernels)


def fitted(patch: Sequence[int], network: NetworkSection) -> tuple[int, ...]:
    """The patch in multiples of the network's factors: rounded up, or to the nearest for the large ones of Swin UNETR.

    It is never one voxel at the coarsest level, of which a norm would leave nothing.
    """
    pairs = list(zip(patch, network.factors, strict=True))
    if isinstance(network, SwinUNETRSection):
        sizes = [max(1, round(edge / factor)) * factor for edge, factor in pairs]
    else:
        sizes = [-(-edge // factor) * factor for edge, factor in pairs]
    if tuple(sizes) == network.factors and max(sizes) > 1:
        longest = max(range(len(sizes)), key=lambda axis: patch[axis])
        sizes[longest] *= 2
    return tuple(sizes)


def _resenc(patch: Sequence[int], spacing: Sequence[float], base: int) -> ResEncSection:
    strides, kernels = _levels(patch, spacing)
    dims = _dims(patch)
    features = _doubled(base, _MOST_FEATURES[dims], strides)
    return ResEncSection(
        dims=dims, features=features, strides=strides, kernels=kernels, blocks=_RESENC_BLOCKS[: len(strides)]
    )


def _deeplab(patch: Sequence[int], spacing: Sequence[float], base: int) -> DeepLabSection:
    strides, kernels = _levels(patch, spacing, _DEEPLAB_LEVELS, _DEEPLAB_EDGE)
    dims = _dims(patch)
    stepped = [edge / math.prod(level[axis] for level in strides) for axis, edge in enumerate(patch)]
    seen = min(edge for edge, size in zip(stepped, kernels[-1], strict=True) if size > 1)
    rates = [max(index, round(share * seen)) for index, share in enumerate(_DEEPLAB_RATES, start=1)]
    return DeepLabSection(
        dims=dims,
        features=_doubled(base, _MOST_FEATURES[dims], strides),
        strides=strides,
        kernels=kernels,
        blocks=_RESENC_BLOCKS[: len(strides)],
        rates=tuple(rates),
        pyramid=2 * base,
        skip=min(1, len(strides) - 2),
    )


def _attention_unet(patch: Sequence[int], spacing: Sequence[float], base: int) -> AttentionUNetSection:
    strides, _ = _levels(patch, spacing)
    dims = _dims(patch)
    kernels = ((3,) * dims,) * len(strides)
    features = _doubled(base, _MOST_FEATURES[dims], strides)
    return AttentionUNetSection(dims=dims, features=features, strides=strides, kernels=kernels)


def _levels(
    patch: Sequence[int], spacing: Sequence[float], most: int = _MOST_LEVELS, smallest: int = _SMALLEST_EDGE
) -> tuple[Steps, Steps]:
    """Strides and kernels of the levels; at least two of them, since even a tiny patch needs one skip."""
    edges, sizes = list(patch), list(spacing)
    strides = [(1,) * len(edges)]
    kernels = [_kernel(sizes)]
    while len(strides) < most:
        open_axes = [axis for axis, edge in enumerate(edges) if edge >= 2 * smallest]
        if not open_axes:
            break
        finest = min(sizes[axis] for axis in open_axes)
        step = tuple(2 if axis in open_axes and sizes[axis] < 2 * finest else 1 for axis in range(len(edges)))
        edges = [edge // s for edge, s in zip(edges, step, strict=True)]
        sizes = [size * s for size, s in zip(sizes, step, strict=True)]
        strides.append(step)
        kernels.append(_kernel(sizes))
    if len(strides) == 1:
        strides.append((1,) * len(edges))
        kernels.append(_kernel(sizes))
    return tuple(strides), tuple(kernels)


def _doubled(base: int, most: int, strides: Steps) -> tuple[int, ...]:
    return tuple(min(most, base * 2**level) for level in range(len(strides)))


def _dims(patch: Sequence[int]) -> Literal[2, 3]:
    return 2 if len(patch) == 2 else 3


def _kernel(sizes: Sequence[float]) -> tuple[int, ...]:
    return tuple(1 if size > 2 * min(sizes) else 3 for size in sizes)
