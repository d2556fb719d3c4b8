"""The U-Net, plain and with a residual encoder, 2D and 3D from one code path."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import ConvBlock, Levels, convolution, initialise, residual_encoder, size_error, upsampling


class EncoderDecoder(nn.Module):
    """An encoder, and a decoder with skips at each level.

    Args:
        levels: Its shape.
        encoder: One module a level, finest first; each but the first steps.
        convolutions: Convolutions a level on the way up.
        deep_supervision: While training, give the logits of every decoder level (finest first) and not only the finest.
    """

    def __init__(self, levels: Levels, encoder: nn.ModuleList, convolutions: int, *, deep_supervision: bool) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.factors = levels.factors
        self.encoder = encoder
        dims, features, below = levels.dims, levels.features, range(len(levels.features) - 1)
        self.up = nn.ModuleList(
            upsampling(dims, (features[i + 1], features[i]), levels.strides[i + 1], bias=levels.upsampling_bias)
            for i in below
        )
        self.decoder = nn.ModuleList(
            ConvBlock(dims, (2 * features[i], features[i]), levels.kernels[i], None, convolutions) for i in below
        )
        # All heads are there, so that weights fit with and without deep supervision.
        self.heads = nn.ModuleList(
            convolution(dims, (features[i], levels.channels[1]), [1] * dims, bias=True) for i in below
        )
        self.heads[1:].requires_grad_(deep_supervision)
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


class UNet(EncoderDecoder):
    """Plain convolutions, as many on the way up as on the way down.

    Args:
        levels: Its shape.
        convolutions: Convolutions a level.
        deep_supervision: While training, give the logits of every decoder level (finest first) and not only the finest.

    References:
        Ronneberger et al., 2015, MICCAI; Çiçek et al., 2016, MICCAI; Isensee et al., 2021, Nature Methods 18:203.
    """

    def __init__(self, levels: Levels, convolutions: int = 2, *, deep_supervision: bool = False) -> None:
        widths = [levels.channels[0], *levels.features]
        encoder = nn.ModuleList(
            ConvBlock(levels.dims, (widths[i], widths[i + 1]), levels.kernels[i], levels.strides[i], convolutions)
            for i in range(len(levels.features))
        )
        super().__init__(levels, encoder, convolutions, deep_supervision=deep_supervision)


class ResidualEncoderUNet(EncoderDecoder):
    """Residual blocks on the way down, few plain convolutions on the way up.

    The same network as nnU-Net's ``ResidualEncoderUNet``, without the biases that the norm after them takes away.

    Args:
        levels: Its shape.
        blocks: Residual blocks of each level on the way down.
        convolutions: Convolutions a level on the way up.
        deep_supervision: While training, give the logits of every decoder level (finest first) and not only the finest.

    References:
        Isensee et al., 2024, "nnU-Net Revisited", MICCAI, arXiv:2404.09556.
    """

    def __init__(
        self, levels: Levels, blocks: Sequence[int], convolutions: int = 1, *, deep_supervision: bool = False
    ) -> None:
        super().__init__(levels, residual_encoder(levels, blocks), convolutions, deep_supervision=deep_supervision)
