"""From a configuration section to a network."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from medseg.config.networks import (
    AttentionUNetSection,
    DeepLabSection,
    MedNeXtSection,
    NetworkSection,
    OwnNetworkSection,
    ResEncSection,
    SegResNetSection,
    SwinUNETRSection,
    UNetSection,
)
from medseg.core.errors import ConfigError

from .blocks import Levels
from .deeplab import DeepLab, PyramidShape
from .monai_networks import monai_network
from .unet import ResidualEncoderUNet, UNet


def build_network(section: NetworkSection, in_channels: int, out_channels: int) -> nn.Module:
    """The network that a section describes, freshly initialised.

    Raises:
        ConfigError: If it is one's own.
    """
    channels = (in_channels, out_channels)
    match section:
        case UNetSection():
            levels = _levels(section, channels)
            return UNet(levels, section.convolutions, deep_supervision=section.deep_supervision)
        case ResEncSection():
            levels, deep = _levels(section, channels), section.deep_supervision
            return ResidualEncoderUNet(levels, section.blocks, section.convolutions, deep_supervision=deep)
        case DeepLabSection():
            shape = PyramidShape(section.atrous, section.rates, section.pyramid, section.skip)
            return DeepLab(_levels(section, channels), section.blocks, shape)
        case SegResNetSection() | SwinUNETRSection() | MedNeXtSection() | AttentionUNetSection():
            return monai_network(section, channels)
        case OwnNetworkSection():
            raise ConfigError(
                "the network is one's own, and code is not in the configuration: give it from Python, to medseg.train "
                "in OwnParts(network=...) or to medseg.read_bundle(folder, network=...)"
            )
        case _:
            assert_never(section)


def _levels(section: UNetSection | ResEncSection | DeepLabSection, channels: tuple[int, int]) -> Levels:
    has_bias = not isinstance(section, DeepLabSection) and section.upsampling_bias
    return Levels(section.dims, channels, section.features, section.strides, section.kernels, has_bias)


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
