"""DeepLabV3+, 2D and 3D from one code path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import ConvBlock, Levels, ResidualBlock, convolution, initialise, residual_encoder, size_error

_LINEAR = {2: "bilinear", 3: "trilinear"}
# The decoder gets so many times fewer maps from the skip than from the pyramid (48 and 256 in the paper).
_SKIP_SHARE = 4


@dataclass(frozen=True)
class PyramidShape:
    """The parts of a DeepLab below and beside its encoder.

    Attributes:
        atrous: Dilation of each residual block at the coarsest level.
        rates: Dilations of the pyramid's branches.
        features: Feature maps of each branch, and of the decoder.
        skip: Level that the decoder works at.
    """

    atrous: Sequence[int]
    rates: Sequence[int]
    features: int
    skip: int


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: the same features seen at several scales, the whole patch among them.

    Args:
        dims: 2 or 3.
        channels: Feature maps that come in, and that go out.
        kernel: Kernel size along each axis.
        rates: Dilation of each branch.

    References:
        Chen et al., 2017, arXiv:1706.05587, section 3.3.
    """

    def __init__(self, dims: int, channels: tuple[int, int], kernel: Sequence[int], rates: Sequence[int]) -> None:
        super().__init__()
        point = [1] * dims
        self.branches = nn.ModuleList(
            [
                ConvBlock(dims, channels, point),
                *(ConvBlock(dims, channels, kernel, dilation=rate) for rate in rates),
            ]
        )
        # No norm: of one voxel nothing would be left.
        self.whole = nn.Sequential(convolution(dims, channels, point, bias=True), nn.LeakyReLU(0.01, inplace=True))
        self.project = ConvBlock(dims, ((len(rates) + 2) * channels[1], channels[1]), point)

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps of the same spatial size."""
        spatial = tuple(range(2, features.ndim))
        whole = self.whole(features.mean(dim=spatial, keepdim=True)).expand(-1, -1, *features.shape[2:])
        scales: Tensor = self.project(torch.cat([*(branch(features) for branch in self.branches), whole], dim=1))
        return scales


class DeepLab(nn.Module):
    """Residual encoder, atrous pyramid, and a decoder of one skip.

    Args:
        levels: Shape of the encoder.
        blocks: Residual blocks of each level.
        shape: The other parts.

    References:
        Chen et al., 2018, ECCV, arXiv:1802.02611: figure 2. The encoder is a residual one with instance norm instead of
        Xception, convolutions are not separable (slower on a CPU than plain ones), and axes may step apart.
    """

    def __init__(self, levels: Levels, blocks: Sequence[int], shape: PyramidShape) -> None:
        super().__init__()
        dims, deepest, width = levels.dims, levels.features[-1], shape.features
        self.factors = levels.factors
        self.encoder = residual_encoder(levels, blocks)
        self.atrous = nn.Sequential(
            *(ResidualBlock(dims, (deepest, deepest), levels.kernels[-1], None, dilation) for dilation in shape.atrous)
        )
        self.pyramid = AtrousPyramid(dims, (deepest, width), levels.kernels[-1], shape.rates)
        self.skip_level, narrow = shape.skip, max(1, width // _SKIP_SHARE)
        self.skip = ConvBlock(dims, (levels.features[shape.skip], narrow), [1] * dims)
        self.decoder = ConvBlock(dims, (width + narrow, width), levels.kernels[shape.skip], convolutions=2)
        self.head = convolution(dims, (width, levels.channels[1]), [1] * dims, bias=True)
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of shape ``(b, out_channels, *spatial)`` for an image of shape ``(b, in_channels, *spatial)``."""
        error = size_error(image.shape[2:], self.factors)
        if error is not None:
            raise ValueError(error)
        features = [image]
        for level in self.encoder:
            features.append(level(features[-1]))
        skip = self.skip(features[self.skip_level + 1])
        scales = _resized(self.pyramid(self.atrous(features[-1])), skip)
        return _resized(self.head(self.decoder(torch.cat((scales, skip), dim=1))), image)


def _resized(features: Tensor, like: Tensor) -> Tensor:
    """Linearly interpolated to the spatial size of ``like``."""
    return F.interpolate(features, size=like.shape[2:], mode=_LINEAR[features.ndim - 2], align_corners=False)
