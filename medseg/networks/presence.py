"""Networks that are told which channels of an image are missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn


def with_presence(network: nn.Module, optional: Sequence[int]) -> nn.Module:
    """The same network, fed with one more channel for each optional one: ones where it is there, zeros where not.

    A channel counts as missing in a sample if it is zero in every voxel, as missing channels are filled. The network's
    own names of weights stay as they are, since the channels are appended by a hook in front of it.

    Args:
        network: Takes as many more channels as there are optional ones, after the image's.
        optional: Which channels of the image may be missing; if none may, nothing changes.

    References:
        Neverova et al., 2016, TPAMI 38(8):1692 (ModDrop), for leaving channels out; the mask is ours.
    """
    if optional:
        network.register_forward_pre_hook(partial(_told, optional=tuple(optional)))
    return network


def presence(image: Tensor, optional: Sequence[int]) -> Tensor:
    """Which optional channels each sample has, shape ``(b, len(optional))``, 1 or 0 in the image's type."""
    return image[:, list(optional)].flatten(2).ne(0).any(dim=2).to(image.dtype)


def _told(network: nn.Module, inputs: tuple[Tensor, ...], *, optional: tuple[int, ...]) -> tuple[Tensor, ...]:  # noqa: ARG001 - the signature of a hook
    image, *others = inputs
    there = presence(image, optional)
    masks = there.view(*there.shape, *[1] * (image.ndim - 2)).expand(-1, -1, *image.shape[2:])
    return torch.cat([image, masks], dim=1), *others
