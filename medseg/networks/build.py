"""From a configuration section to a network."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from medseg.config.networks import NetworkSection, SegResNetSection, UNetSection

from .unet import UNet


def build_network(section: NetworkSection, in_channels: int, out_channels: int) -> nn.Module:
    """The network that a section describes, freshly initialised."""
    match section:
        case UNetSection():
            return UNet(
                section.dims,
                (in_channels, out_channels),
                section.features,
                section.strides,
                section.kernels,
                section.convolutions,
                deep_supervision=section.deep_supervision,
            )
        case SegResNetSection():
            return _segresnet(section, in_channels, out_channels)
        case _:
            assert_never(section)


def _segresnet(section: SegResNetSection, in_channels: int, out_channels: int) -> nn.Module:
    from monai.networks.nets import SegResNet  # noqa: PLC0415 - MONAI takes seconds to import

    network: nn.Module = SegResNet(
        spatial_dims=section.dims,
        init_filters=section.features,
        in_channels=in_channels,
        out_channels=out_channels,
        blocks_down=section.blocks_down,
        blocks_up=section.blocks_up,
    )
    return network


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
