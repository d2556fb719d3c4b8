"""MONAI's networks, from their sections."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from medseg.config.networks import AttentionUNetSection, MedNeXtSection, SegResNetSection, SwinUNETRSection
from medseg.core.messages import hush_mlflow


def monai_network(
    section: SegResNetSection | SwinUNETRSection | MedNeXtSection | AttentionUNetSection, channels: tuple[int, int]
) -> nn.Module:
    """The network of MONAI that a section describes.

    SegResNet comes without its autoencoder branch, MedNeXt with the paper's residual connections in its steps too.

    Args:
        section: Which network, with its numbers.
        channels: Channels of the image, and logits a voxel.

    References:
        Myronenko 2018, arXiv:1810.11654 (SegResNet); Hatamizadeh 2022, arXiv:2201.01266 (Swin UNETR); Roy 2023,
        arXiv:2303.09975 (MedNeXt); Oktay 2018, arXiv:1804.03999 (Attention U-Net).
    """
    hush_mlflow()
    from monai.networks import nets  # noqa: PLC0415 - takes seconds

    network: nn.Module
    ends = {"spatial_dims": section.dims, "in_channels": channels[0], "out_channels": channels[1]}
    match section:
        case SegResNetSection(features=features, blocks_down=down, blocks_up=up):
            network = nets.SegResNet(**ends, init_filters=features, blocks_down=down, blocks_up=up)
        case SwinUNETRSection(features=features, depths=depths, heads=heads, window=window):
            network = nets.SwinUNETR(**ends, feature_size=features, depths=depths, num_heads=heads, window_size=window)
        case MedNeXtSection():
            network = nets.MedNeXt(
                **ends,
                init_filters=section.features,
                encoder_expansion_ratio=section.expansion_down,
                decoder_expansion_ratio=section.expansion_up,
                bottleneck_expansion_ratio=section.expansion_bottom,
                kernel_size=section.kernel,
                deep_supervision=section.deep_supervision,
                use_residual_connection=True,
                blocks_down=section.blocks_down,
                blocks_bottleneck=section.blocks_bottom,
                blocks_up=section.blocks_up,
            )
        case AttentionUNetSection():
            kernel = section.kernels[0][0]
            steps = section.strides[1:]
            network = nets.AttentionUnet(
                **ends, channels=section.features, strides=steps, kernel_size=kernel, up_kernel_size=kernel
            )
        case _:
            assert_never(section)
    return network
