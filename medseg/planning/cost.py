"""What a network costs: multiplications and memory, from its configuration alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medseg.config.networks import UNetSection
from medseg.inference.devices import DeviceFacts

# Multiply-adds a second and core of forward plus backward passes, counted as three forward passes. Two Zen 4 cores
# together reached 280e9 in bfloat16 and 149e9 in float32 with 32 to 256 features (benchmarks/training_step.py).
_CPU_RATE = {True: 140e9, False: 60e9}
_GPU_RATE = 8e12
_TENSORS_PER_CONVOLUTION = 3  # its output, the normalised one, a gradient


def forward_macs(network: UNetSection, patch: Sequence[int], channels: int) -> float:
    """Multiply-adds of one forward pass over one patch.

    Args:
        network: The U-Net.
        patch: Voxels along its axes (two or three numbers).
        channels: Channels of the image.
    """
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


def step_seconds(network: UNetSection, patch: Sequence[int], channels: int, batch: int, device: DeviceFacts) -> float:
    """Estimated time of one training step."""
    rate = _CPU_RATE[device.has_bf16] * (0.9 * device.cores) if device.kind == "cpu" else _GPU_RATE
    return 3 * batch * forward_macs(network, patch, channels) / rate


def training_bytes(network: UNetSection, patch: Sequence[int], batch: int, device: DeviceFacts) -> float:
    """Estimated memory of one training step, workspace included."""
    numbers = 0.0
    for level, voxels in enumerate(_voxels(network, patch)):
        is_bottom = level == len(network.features) - 1
        layers = network.convolutions * (1 if is_bottom else 2) + (0 if is_bottom else 2)
        numbers += voxels * network.features[level] * layers * _TENSORS_PER_CONVOLUTION
    width = 2 if device.has_bf16 or device.kind == "cuda" else 4
    return 2 * batch * numbers * width


def _voxels(network: UNetSection, patch: Sequence[int]) -> list[float]:
    counts, current = [], float(math.prod(patch[: network.dims]))
    for strides in network.strides:
        current /= math.prod(strides)
        counts.append(current)
    return counts
