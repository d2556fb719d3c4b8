"""Random changes of training patches: drawn first, then applied without chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from medseg.config.training import AugmentationSection
from medseg.core.geometry import Shape

from .intensity import IntensityParams, change_intensity, sample_intensity
from .spatial import SpatialParams, fixed_axis, sample_spatial, source_patch, transform_space

__all__ = ["Params", "augment", "sample_params", "source_patch"]


@dataclass(frozen=True)
class Params:
    """Everything that was drawn for one patch.

    Attributes:
        spatial: Where its voxels come from.
        intensity: What happens to each channel; one entry serves all channels, none leaves them as they are.
    """

    spatial: SpatialParams
    intensity: tuple[IntensityParams, ...] = ()


def sample_params(
    section: AugmentationSection, dims: int, patch: Shape, generator: np.random.Generator, channels: int = 1
) -> Params:
    """Draw the changes of one patch.

    Args:
        section: Probabilities and ranges; disabled, it asks for the middle of the block as it is.
        dims: Axes that may be mirrored, counted from the first.
        patch: Shape of the result; 1 along the last axis in 2D.
        generator: The only source of chance.
        channels: Channels that are changed independently of each other; an image of more repeats them.

    Returns:
        Parameters of ``augment``.
    """
    if not section.enabled:
        return Params(SpatialParams(patch))
    spatial = sample_spatial(section, dims, patch, generator)
    return Params(spatial, tuple(sample_intensity(section, generator) for _ in range(channels)))


def augment(image: Tensor, target: Tensor, params: Params) -> tuple[Tensor, Tensor]:
    """Patch cut, turned, zoomed, mirrored and changed in intensity, from the middle of a block.

    Args:
        image: Block, float, shape ``(c, i, j, k)``, of ``source_patch`` voxels or more; not changed.
        target: uint8, class indices ``(i, j, k)`` or masks ``(t, i, j, k)``; 255 (ignored) stays 255.
        params: What was drawn.

    Returns:
        New tensors of the patch's shape; the target keeps its values (nearest) and is 0 beyond the block.
    """
    image, target = transform_space(image, target, params.spatial)
    fixed = fixed_axis(params.spatial.patch)
    if params.intensity:
        for number, channel in enumerate(image):
            channel.copy_(change_intensity(channel, params.intensity[number % len(params.intensity)], fixed))
    return image, target
