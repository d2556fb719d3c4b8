"""The network that all engines of ``benchmarks/inference.py`` slide: nnU-Net's own class, timed.

Runs in both Pythons, so it knows neither medseg nor nnU-Net; only ``dynamic_network_architectures``, nnU-Net's package
of networks, has to be there (``pip install --no-deps dynamic-network-architectures``).
"""

from __future__ import annotations

import time
from typing import Any

import torch
from safetensors.torch import load_model
from torch import Tensor, nn


def plain_unet(features: list[int], outputs: int) -> nn.Module:
    """nnU-Net's PlainConvUNet for one channel, of the sizes that its planner gives to a large CT."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    levels = len(features)
    return PlainConvUNet(
        input_channels=1,
        num_classes=outputs,
        n_stages=levels,
        features_per_stage=features,
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=[1, *[2] * (levels - 1)],
        n_conv_per_stage=2,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )


def architecture(
    features: list[int],
    strides: list[list[int]] | None = None,
    kernels: list[list[int]] | None = None,
    convolutions: int = 2,
    *,
    bias: bool = True,
) -> dict[str, Any]:
    """Such a network as nnU-Net's plans describe it; strides and kernels are those of ``plain_unet`` if not given."""
    levels = len(features)
    return {
        "n_stages": levels,
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": kernels or [[3, 3, 3]] * levels,
        "strides": strides or [[1, 1, 1], *[[2, 2, 2]] * (levels - 1)],
        "n_conv_per_stage": [convolutions] * levels,
        "n_conv_per_stage_decoder": [convolutions] * (levels - 1),
        "conv_bias": bias,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def network_of(task: dict[str, Any]) -> nn.Module:
    """The task's network in evaluation mode: the U-Net with its weights, or one that costs next to nothing."""
    if not task["features"]:
        return Instant(task["outputs"])
    network = plain_unet(task["features"], task["outputs"])
    load_model(network, task["weights"])
    return network.eval()


class Instant(nn.Module):
    """Logits that follow the image, another band of intensities for each class; measures everything around it."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.linspace(-2, 2, outputs))

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(b, outputs, *spatial)``."""
        return -((image - self.centres.reshape(1, -1, 1, 1, 1)) ** 2)


class Turned(nn.Module):
    """A network that sees axes z, y, x, as nnU-Net trains it, for windows that come as x, y, z."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        """Logits of windows, turned as they are."""
        turned = windows.permute(0, 1, 4, 3, 2).contiguous()  # else all of the network computes in that order
        logits: Tensor = self.network(turned).permute(0, 1, 4, 3, 2)
        return logits


class Timed(nn.Module):
    """A network that counts the windows it sees and the seconds that they take."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calls, self.seconds = 0, 0.0

    def forward(self, windows: Tensor) -> Tensor:
        """Logits of windows."""
        started = time.perf_counter()
        logits: Tensor = self.network(windows)
        self.seconds += time.perf_counter() - started
        self.calls += len(windows)
        return logits
