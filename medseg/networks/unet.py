"""The U-Net, 2D and 3D from one code path."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import ConvBlock, convolution, initialise, size_error, upsampling


class UNet(nn.Module):
    """Encoder and decoder with skips at each level.

    Args:
        dims: 2 or 3.
        channels: Channels of the image, and logits a voxel.
        features: Feature maps of each level, finest first.
        strides: Step into each level along each axis; the first is all ones.
        kernels: Kernel size of each level along each axis.
        convolutions: Convolutions a level.
        deep_supervision: While training, give the logits of every decoder level (finest first) and not only the finest.

    References:
        Ronneberger et al., 2015, MICCAI; Çiçek et al., 2016, MICCAI; Isensee et al., 2021, Nature Methods 18:203.
    """

    def __init__(
        self,
        dims: int,
        channels: tuple[int, int],
        features: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
        convolutions: int = 2,
        *,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.factors = [math.prod(level[axis] for level in strides) for axis in range(dims)]
        widths = [channels[0], *features]
        self.encoder = nn.ModuleList(
            ConvBlock(dims, (widths[i], widths[i + 1]), kernels[i], strides[i], convolutions)
            for i in range(len(features))
        )
        below = range(len(features) - 1)
        self.up = nn.ModuleList(upsampling(dims, (features[i + 1], features[i]), strides[i + 1]) for i in below)
        self.decoder = nn.ModuleList(
            ConvBlock(dims, (2 * features[i], features[i]), kernels[i], [1] * dims, convolutions) for i in below
        )
        self.heads = nn.ModuleList(convolution(dims, (features[i], channels[1]), [1] * dims, bias=True) for i in below)
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits of shape ``(b, out_channels, *spatial)`` for an image of shape ``(b, in_channels, *spatial)``."""
        error = size_error(image.shape[2:], self.factors)
        if error is not None:
            raise ValueError(error)
        skips = [image]
        for level in self.encoder:
            skips.append(level(skips[-1]))
        x = skips.pop()
        logits = []
        for i in reversed(range(len(self.decoder))):
            x = self.decoder[i](torch.cat((self.up[i](x), skips.pop()), dim=1))
            if i == 0 or (self.training and self.deep_supervision):
                logits.append(self.heads[i](x))
        return logits[::-1] if self.training and self.deep_supervision else logits[-1]
