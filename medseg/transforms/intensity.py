"""Random changes of intensities, one channel at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medseg.config.training import AugmentationSection

from .resample import Matrix, linear_matrix, nearest_samples

_NOISE_DEVIATION = (0.0, 0.1)
_BLUR_SIGMA = (0.5, 1.0)
_BRIGHTNESS = (0.75, 1.25)
_CONTRAST = (0.75, 1.25)
_RESOLUTION = (0.5, 1.0)
_GAMMA = (0.7, 1.5)
_INVERTED = 1 / 3
_FLAT = 1e-7


@dataclass(frozen=True)
class IntensityParams:
    """What happens to the intensities of one channel; the defaults change nothing.

    Attributes:
        noise: Standard deviation of Gaussian noise.
        noise_seed: Seed of that noise.
        blur: Sigma of a Gaussian blur, in voxels.
        brightness: Factor.
        contrast: Factor on the distance from the mean; the range is kept.
        resolution: Share of the samples that are left along each axis before interpolating back.
        gamma: Exponent on the range scaled to [0, 1]; mean and deviation are kept.
        inverted: Whether gamma works on the negative.
    """

    noise: float = 0.0
    noise_seed: int = 0
    blur: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    resolution: float = 1.0
    gamma: float = 1.0
    inverted: bool = False


def sample_intensity(section: AugmentationSection, rng: np.random.Generator) -> IntensityParams:
    """Draw the changes of one channel; ranges as in nnU-Net."""

    def drawn(probability: float, bounds: tuple[float, float], neutral: float) -> float:
        return float(rng.uniform(*bounds)) if rng.random() < probability else neutral

    return IntensityParams(
        noise=drawn(section.noise, _NOISE_DEVIATION, 0.0),
        noise_seed=int(rng.integers(2**63)),
        blur=drawn(section.blur, _BLUR_SIGMA, 0.0),
        brightness=drawn(section.brightness, _BRIGHTNESS, 1.0),
        contrast=drawn(section.contrast, _CONTRAST, 1.0),
        resolution=drawn(section.low_resolution, _RESOLUTION, 1.0),
        gamma=around_one(_GAMMA, rng) if rng.random() < section.gamma else 1.0,
        inverted=bool(rng.random() < _INVERTED),
    )


def around_one(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    """A factor within the bounds, as often below one as above it where both exist."""
    low, high = bounds
    if low < 1 < high:
        return float(rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high))
    return float(rng.uniform(low, high))


def change_intensity(channel: Tensor, params: IntensityParams, fixed_axis: int | None = None) -> Tensor:
    """The changes, in nnU-Net's order.

    Args:
        channel: Shape ``(i, j, k)``, float; may be overwritten.
        params: What to do.
        fixed_axis: Axis whose resolution is left alone.

    Returns:
        Changed channel.
    """
    if params.noise:
        generator = torch.Generator(channel.device).manual_seed(params.noise_seed)
        noise = torch.randn(channel.shape, generator=generator, dtype=channel.dtype, device=channel.device)
        channel = channel.add_(noise, alpha=params.noise)
    if params.blur:
        channel = _separable(channel, lambda n: blur_matrix(n, params.blur), fixed_axis)
    if params.brightness != 1:
        channel = channel.mul_(params.brightness)
    if params.contrast != 1:
        channel = _contrast(channel, params.contrast)
    if params.resolution != 1:
        channel = _separable(channel, lambda n: resolution_matrix(n, params.resolution), fixed_axis)
    if params.gamma != 1:
        channel = -_gamma(-channel, params.gamma) if params.inverted else _gamma(channel, params.gamma)
    return channel


def blur_matrix(length: int, sigma: float) -> Matrix:
    """Matrix of a Gaussian blur along one axis; weights beyond the ends are left out, rows sum to 1."""
    distance = np.subtract.outer(np.arange(length), np.arange(length))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float32)


def resolution_matrix(length: int, share: float) -> Matrix:
    """Matrix that keeps a share of the samples (nearest) and interpolates back linearly."""
    kept = max(1, round(length * share))
    matrix = np.zeros((length, length), np.float32)
    matrix[:, nearest_samples(length, kept)] = linear_matrix(kept, length)
    return matrix


def _separable(channel: Tensor, matrix: Callable[[int], Matrix], fixed_axis: int | None) -> Tensor:
    for axis, length in enumerate(channel.shape):
        if axis == fixed_axis or length == 1:
            continue
        step = torch.from_numpy(matrix(length)).to(channel)
        channel = (channel.movedim(axis, -1) @ step.T).movedim(-1, axis)
    return channel


def _contrast(channel: Tensor, factor: float) -> Tensor:
    low, high = (bound.item() for bound in torch.aminmax(channel))
    mean = channel.mean()
    return channel.sub_(mean).mul_(factor).add_(mean).clamp_(low, high)


def _gamma(channel: Tensor, exponent: float) -> Tensor:
    mean, deviation = _mean_and_deviation(channel)
    low, high = torch.aminmax(channel)
    extent = (high - low).clamp(min=_FLAT)
    changed = ((channel - low) / extent).pow_(exponent)
    new_mean, new_deviation = _mean_and_deviation(changed)
    return changed.sub_(new_mean).mul_(deviation / new_deviation.clamp(min=_FLAT)).add_(mean)


def _mean_and_deviation(channel: Tensor) -> tuple[Tensor, Tensor]:
    mean = channel.mean()
    return mean, torch.linalg.vector_norm(channel - mean) / channel.numel() ** 0.5
