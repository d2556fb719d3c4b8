"""MONAI's networks, from their sections."""

from __future__ import annotations

from torch import nn

from medseg.config.networks import AttentionUNetSection, MedNeXtSection, SegResNetSection, SwinUNETRSection
from medseg.core.messages import hush_mlflow

# MONAI takes seconds to import, so each function imports what it needs.


def segresnet(section: SegResNetSection, in_channels: int, out_channels: int) -> nn.Module:
    """SegResNet (Myronenko 2018, arXiv:1810.11654), without its autoencoder branch."""
    hush_mlflow()
    from monai.networks.nets import SegResNet  # noqa: PLC0415

    network: nn.Module = SegResNet(
        spatial_dims=section.dims,
        init_filters=section.features,
        in_channels=in_channels,
        out_channels=out_channels,
        blocks_down=section.blocks_down,
        blocks_up=section.blocks_up,
    )
    return network


def swin_unetr(section: SwinUNETRSection, in_channels: int, out_channels: int) -> nn.Module:
    """Swin UNETR (Hatamizadeh 2022, arXiv:2201.01266)."""
    hush_mlflow()
    from monai.networks.nets import SwinUNETR  # noqa: PLC0415

    network: nn.Module = SwinUNETR(
        spatial_dims=section.dims,
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=section.features,
        depths=section.depths,
        num_heads=section.heads,
        window_size=section.window,
    )
    return network


def mednext(section: MedNeXtSection, in_channels: int, out_channels: int) -> nn.Module:
    """MedNeXt (Roy 2023, arXiv:2303.09975), with the residual connections of the paper in its steps too."""
    hush_mlflow()
    from monai.networks.nets import MedNeXt  # noqa: PLC0415

    network: nn.Module = MedNeXt(
        spatial_dims=section.dims,
        init_filters=section.features,
        in_channels=in_channels,
        out_channels=out_channels,
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
    return network


def attention_unet(section: AttentionUNetSection, in_channels: int, out_channels: int) -> nn.Module:
    """Attention U-Net (Oktay 2018, arXiv:1804.03999)."""
    hush_mlflow()
    from monai.networks.nets import AttentionUnet  # noqa: PLC0415

    network: nn.Module = AttentionUnet(
        spatial_dims=section.dims,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=section.features,
        strides=section.strides[1:],
        kernel_size=section.kernels[0][0],
        up_kernel_size=section.kernels[0][0],
    )
    return network
