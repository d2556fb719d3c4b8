"""Building blocks that work in 2D and 3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

_CONV: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_UP: dict[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM: dict[int, Callable[..., nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ConvBlock(nn.Sequential):
    """Convolutions, each followed by instance norm and leaky ReLU; the first one may step."""

    def __init__(
        self,
        dims: int,
        channels: tuple[int, int],
        kernel: Sequence[int],
        stride: Sequence[int],
        convolutions: int,
    ) -> None:
        layers: list[nn.Module] = []
        for index in range(convolutions):
            first = index == 0
            layers += [
                convolution(
                    dims, (channels[0] if first else channels[1], channels[1]), kernel, stride if first else None
                ),
                _NORM[dims](channels[1], affine=True),
                nn.LeakyReLU(0.01, inplace=True),
            ]
        super().__init__(*layers)


def convolution(
    dims: int,
    channels: tuple[int, int],
    kernel: Sequence[int],
    stride: Sequence[int] | None = None,
    *,
    bias: bool = False,
) -> nn.Module:
    """Convolution that keeps the size, or divides it by the stride."""
    padding = tuple(size // 2 for size in kernel)
    return _CONV[dims](*channels, tuple(kernel), tuple(stride or [1] * dims), padding, bias=bias)


def upsampling(dims: int, channels: tuple[int, int], stride: Sequence[int]) -> nn.Module:
    """Transposed convolution that multiplies the size by the stride."""
    return _UP[dims](*channels, tuple(stride), tuple(stride), bias=False)


def size_error(shape: Sequence[int], factors: Sequence[int]) -> str | None:
    """What is wrong with an input of that spatial shape, and which shape would fit; None if nothing is."""
    if all(n % f == 0 for n, f in zip(shape, factors, strict=True)):
        return None
    fitting = tuple(-(-n // f) * f for n, f in zip(shape, factors, strict=True))
    return f"input of {tuple(shape)} voxels does not fit the network's strides {tuple(factors)}; {fitting} would"


def initialise(module: nn.Module) -> None:
    """He initialisation of convolutions for leaky ReLU (He 2015), as nnU-Net does."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
