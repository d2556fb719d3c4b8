"""Test-time augmentation: a prediction averaged over mirrored inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor


def mirrored_mean(probabilities_of: Callable[[Tensor], Tensor], image: Tensor, axes: Sequence[int]) -> Tensor:
    """Mean of the probabilities over all mirrored versions of the image, each mirrored back.

    Args:
        probabilities_of: From images ``(b, c, *spatial)`` to probabilities ``(b, t, *spatial)``.
        image: Shape ``(b, c, *spatial)``.
        axes: Spatial axes to mirror, 0 the first; all ``2 ** len(axes)`` combinations are used. Empty for none.

    Returns:
        Shape ``(b, t, *spatial)``.
    """
    total = probabilities_of(image)
    flips = [flip for n in range(1, len(axes) + 1) for flip in itertools.combinations([2 + axis for axis in axes], n)]
    for flip in flips:
        total += probabilities_of(image.flip(flip)).flip(flip)
    return total.div_(1 + len(flips)) if flips else total
