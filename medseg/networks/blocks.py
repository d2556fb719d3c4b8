"""Building blocks that work in 2D and 3D."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

_CONV: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_UP: dict[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM: dict[int, Callable[..., nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_MEAN: dict[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


@dataclass(frozen=True)
class Levels:
    """The shape of a network that goes down level by level.

    Attributes:
        dims: 2 or 3.
        channels: Channels of the image, and logits a voxel.
        features: Feature maps of each level, finest first.
        strides: Step into each level along each axis; the first is all ones.
        kernels: Kernel size of each level along each axis.
        upsampling_bias: Whether transposed convolutions have a bias.
    """

    dims: int
    channels: tuple[int, int]
    features: Sequence[int]
    strides: Sequence[Sequence[int]]
    kernels: Sequence[Sequence[int]]
    upsampling_bias: bool = False

    @property
    def factors(self) -> list[int]:
        """What the size of an input has to be a multiple of, along each axis."""
        return [math.prod(level[axis] for level in self.strides) for axis in range(self.dims)]


class ConvBlock(nn.Sequential):
    """Convolutions, each followed by instance norm and leaky ReLU; the first one may step."""

    def __init__(
        self,
        dims: int,
        channels: tuple[int, int],
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        convolutions: int = 1,
        dilation: int = 1,
    ) -> None:
        layers: list[nn.Module] = []
        for index in range(convolutions):
            inputs, step = (channels[0], stride) if index == 0 else (channels[1], None)
            layers += [
                convolution(dims, (inputs, channels[1]), kernel, step, dilation),
                _NORM[dims](channels[1], affine=True),
                nn.LeakyReLU(0.01, inplace=True),
            ]
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input; where they step, the input is averaged (He 2019, ResNet-D).

    The last norm begins at zero, so that a fresh block hands its input on.

    References:
        He et al., 2019, CVPR, "Bag of Tricks for Image Classification", section 4.2.
    """

    def __init__(
        self,
        dims: int,
        channels: tuple[int, int],
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(dims, channels, kernel, stride, dilation=dilation),
            convolution(dims, (channels[1], channels[1]), kernel, dilation=dilation),
            _NORM[dims](channels[1], affine=True),
        )
        shortcut: list[nn.Module] = []
        if stride is not None and any(step != 1 for step in stride):
            shortcut.append(_MEAN[dims](tuple(stride)))
        if channels[0] != channels[1]:
            shortcut += [convolution(dims, channels, [1] * dims), _NORM[dims](channels[1], affine=True)]
        self.shortcut = nn.Sequential(*shortcut)
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same spatial size, or divided by the stride."""
        result: Tensor = self.activation(self.body(features) + self.shortcut(features))
        return result


def residual_encoder(levels: Levels, blocks: Sequence[int]) -> nn.ModuleList:
    """The way down: one convolution at full resolution, then residual blocks level by level."""
    encoder, width = nn.ModuleList(), levels.features[0]
    for i, features in enumerate(levels.features):
        stage = nn.Sequential()
        if i == 0:
            stage.append(ConvBlock(levels.dims, (levels.channels[0], width), levels.kernels[0]))
        for block in range(blocks[i]):
            stride = levels.strides[i] if block == 0 else None
            stage.append(ResidualBlock(levels.dims, (width, features), levels.kernels[i], stride))
            width = features
        encoder.append(stage)
    return encoder


def convolution(
    dims: int,
    channels: tuple[int, int],
    kernel: Sequence[int],
    stride: Sequence[int] | None = None,
    dilation: int = 1,
    *,
    bias: bool = False,
) -> nn.Module:
    """Convolution that keeps the size, or divides it by the stride."""
    padding = tuple(dilation * (size // 2) for size in kernel)
    return _CONV[dims](*channels, tuple(kernel), tuple(stride or [1] * dims), padding, dilation, bias=bias)


def upsampling(dims: int, channels: tuple[int, int], stride: Sequence[int], *, bias: bool = False) -> nn.Module:
    """Transposed convolution that multiplies the size by the stride."""
    return _UP[dims](*channels, tuple(stride), tuple(stride), bias=bias)


def size_error(shape: Sequence[int], factors: Sequence[int]) -> str | None:
    """What is wrong with an input of that spatial shape, and which shape would fit; None if nothing is."""
    if all(n % f == 0 for n, f in zip(shape, factors, strict=True)):
        return None
    fitting = tuple(-(-n // f) * f for n, f in zip(shape, factors, strict=True))
    return f"input of {tuple(shape)} voxels does not fit the network's strides {tuple(factors)}; {fitting} would"


def initialise(module: nn.Module) -> None:
    """He initialisation of convolutions for leaky ReLU (He 2015), as nnU-Net does; residual blocks as identity."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, ResidualBlock):
        for weight in module.body[-1].parameters():
            nn.init.zeros_(weight)
