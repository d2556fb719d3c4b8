"""From a configuration section to a network."""

from __future__ import annotations

from torch import nn

from medseg.config.sections import UNetSection

from .unet import UNet


def build_network(section: UNetSection, in_channels: int, out_channels: int) -> nn.Module:
    """The network that a section describes, freshly initialised."""
    return UNet(
        section.dims,
        (in_channels, out_channels),
        section.features,
        section.strides,
        section.kernels,
        section.convolutions,
        deep_supervision=section.deep_supervision,
    )


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
