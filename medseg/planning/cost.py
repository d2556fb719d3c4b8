"""What a network costs: multiplications and memory, from its configuration alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from medseg.config.networks import NetworkSection, SwinUNETRSection, UNetSection
from medseg.inference.devices import DeviceFacts
from medseg.networks.build import build_network
from medseg.networks.size import NetworkSize, kept_numbers, network_size
from medseg.networks.size import forward_macs as counted_macs

# Multiply-adds a second and core of forward plus backward passes, counted as three forward passes. Two Zen 4 cores
# together reached 280e9 in bfloat16 and 149e9 in float32 with 32 to 256 features, two of a shared server half of that
# (benchmarks/training_step.py). By the lower numbers short budgets would get 12 features, which are no faster than 16.
_CPU_RATE = {True: 140e9, False: 60e9}
_GPU_RATE = 8e12
# How fast a network computes beside a plain U-Net with as many multiplications: attention and depthwise convolutions
# move more memory for each. One Zen 4 core, bfloat16, patch 40x56x40, batch 2, 12 to 32 features; no GPU was measured.
_EFFICIENCY = {
    "unet": 1.0,
    "resenc": 1.0,
    "deeplab": 1.0,
    "segresnet": 1.0,
    "swin_unetr": 0.08,
    "mednext": 0.08,
    "attention_unet": 0.85,
}
_TENSORS_PER_CONVOLUTION = 3  # its output, the normalised one, a gradient
_GRADIENTS = 1.8  # what is kept, and gradients on the way: as much as by the formula of the U-Net
_OUTPUTS = 3  # of a network whose labels do not matter


@dataclass(frozen=True)
class _Work:
    """Multiply-adds of a forward pass, and numbers kept for the backward pass, for one patch."""

    macs: float
    kept: float


def forward_macs(network: NetworkSection, patch: Sequence[int], channels: int) -> float:
    """Multiply-adds of one forward pass over one patch.

    Args:
        network: Any network.
        patch: Voxels along its axes (two or three numbers).
        channels: Channels of the image.
    """
    if isinstance(network, UNetSection):
        return _unet_macs(network, patch, channels)
    return _work(network, tuple(patch[: network.dims]), channels).macs


def step_seconds(
    network: NetworkSection, patch: Sequence[int], channels: int, batch: int, device: DeviceFacts
) -> float:
    """Estimated time of one training step."""
    rate = _CPU_RATE[device.has_bf16] * (0.9 * device.cores) if device.kind == "cpu" else _GPU_RATE
    return 3 * batch * forward_macs(network, patch, channels) / (rate * _EFFICIENCY[network.name])


def training_bytes(network: NetworkSection, patch: Sequence[int], batch: int, device: DeviceFacts) -> float:
    """Estimated memory of one training step, workspace included."""
    if isinstance(network, UNetSection):
        numbers = _unet_numbers(network, patch)
    else:
        numbers = _GRADIENTS * _work(network, tuple(patch[: network.dims]), 1).kept
    width = 2 if device.has_bf16 or device.kind == "cuda" else 4
    return 2 * batch * numbers * width


def planned_size(network: NetworkSection, patch: Sequence[int], channels: int, outputs: int) -> NetworkSize:
    """Parameters and multiply-adds of the network that a plan describes.

    Args:
        network: Any network.
        patch: Voxels along its axes (two or three numbers).
        channels: Channels that reach the network.
        outputs: Logits a voxel.
    """
    return network_size(_skeleton(network, channels, outputs), (channels, *patch[: network.dims]))


def _unet_macs(network: UNetSection, patch: Sequence[int], channels: int) -> float:
    total = 0.0
    for level, voxels in enumerate(_voxels(network, patch)):
        kernel = math.prod(network.kernels[level])
        width = network.features[level]
        above = network.features[level - 1] if level else channels
        encoder = above * width + (network.convolutions - 1) * width**2
        is_bottom = level == len(network.features) - 1
        decoder = 0 if is_bottom else 2 * width**2 + (network.convolutions - 1) * width**2
        total += voxels * kernel * (encoder + decoder)
    return total


def _unet_numbers(network: UNetSection, patch: Sequence[int]) -> float:
    numbers = 0.0
    for level, voxels in enumerate(_voxels(network, patch)):
        is_bottom = level == len(network.features) - 1
        layers = network.convolutions * (1 if is_bottom else 2) + (0 if is_bottom else 2)
        numbers += voxels * network.features[level] * layers * _TENSORS_PER_CONVOLUTION
    return numbers


def _voxels(network: UNetSection, patch: Sequence[int]) -> list[float]:
    counts, current = [], float(math.prod(patch[: network.dims]))
    for strides in network.strides:
        current /= math.prod(strides)
        counts.append(current)
    return counts


@lru_cache(maxsize=1024)
def _work(network: NetworkSection, patch: tuple[int, ...], channels: int) -> _Work:
    """Measured by sending shapes through the network."""
    module, image = _skeleton(network, channels, _OUTPUTS), (channels, *patch)
    return _Work(counted_macs(module, image), kept_numbers(module, image))


@lru_cache(maxsize=16)
def _skeleton(network: NetworkSection, channels: int, outputs: int) -> nn.Module:
    """The network without numbers in its weights."""
    # MONAI's Swin UNETR reads numbers while it is built, and on the meta device there are none.
    device = torch.device("cpu" if isinstance(network, SwinUNETRSection) else "meta")
    with device:
        return build_network(network, channels, outputs)
