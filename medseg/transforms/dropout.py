"""Channels left out of training patches, so that a network learns to do without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class ChannelDropout:
    """Which channels are left out, and how often.

    Attributes:
        optional: Places of the channels that may be missing.
        probability: How likely each of them is left out of a patch, independently of the others.
    """

    optional: tuple[int, ...] = ()
    probability: float = 0.0


NO_DROPOUT = ChannelDropout()


def sample_missing(
    dropout: ChannelDropout, image: NDArray[np.float32], generator: np.random.Generator
) -> tuple[int, ...]:
    """Draw the channels that a patch lacks: those that its case lacks, and those that are left out.

    One channel always stays: if all would go, one of those that the case has is drawn to stay.

    Args:
        dropout: What may be left out; if nothing may, nothing is drawn.
        image: The patch before its intensities are changed, shape ``(c, i, j, k)``; a channel that the case lacks is
            zero in every voxel.
        generator: The only source of chance.

    Returns:
        Places of the channels to be zero, in order.
    """
    if not dropout.optional:
        return ()
    optional = list(dropout.optional)
    absent = np.zeros(len(image), np.bool_)
    absent[optional] = ~image[optional].any(axis=(1, 2, 3))
    missing = absent.copy()
    missing[optional] |= generator.random(len(optional)) < dropout.probability
    if missing.all() and not absent.all():
        missing[generator.choice(np.flatnonzero(~absent))] = False
    return tuple(int(place) for place in np.flatnonzero(missing))


def without_channels(image: Tensor, missing: Sequence[int]) -> Tensor:
    """The image with zeros for the channels that are missing; changed in place.

    Args:
        image: Shape ``(c, *spatial)``.
        missing: Places of the channels.
    """
    if missing:
        image[list(missing)] = 0
    return image
