"""Images of any size that look enough like a body to measure speed on, quickly made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.transforms.resample import resample_channel

from .bodies import torso

_NOISE_HU, _AIR_HU, _WINDOW_HU = 18.0, -1000.0, (-200.0, 300.0)
_NOISE_GREY = 4.0
_TINTS = (1.0, 0.8, 0.7)  # red, green, blue of what an endoscope sees


def body_volume(grid: Geometry, channels: tuple[str, ...], seed: int = 0) -> Volume:
    """A torso stretched over a grid, in int16 HU with noise of its own in every voxel.

    Its share of air and its compressibility are those of a CT, whatever the size; anatomy is not to be looked for.

    Args:
        grid: Any size and orientation.
        channels: Each gets the same body with other noise.
        seed: The same seed gives the same volume.
    """
    axes = grid.axis_map("LPS")
    stretched = resample_channel(_body(seed), grid.mapped(axes).shape, order=1)
    body = axes.inverse.apply(stretched)
    array = np.empty((len(channels), *grid.shape), np.int16)
    rng = np.random.default_rng(seed)
    for channel in array:
        for plane, values in zip(channel, body, strict=True):
            noise = rng.standard_normal(values.shape, dtype=np.float32) * np.float32(_NOISE_HU)
            plane[...] = np.rint(np.maximum(values + noise, _AIR_HU))
    return Volume(array, grid, channels)


def body_frames(count: int, size: tuple[int, int], channels: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Slices through a torso from end to end, as a camera would give them.

    Args:
        count: How many.
        size: Rows and columns.
        channels: 1 gives ``(rows, columns)``; more give ``(rows, columns, channels)``, tinted like tissue.
        seed: The same seed gives the same frames.
    """
    rng = np.random.default_rng(seed)
    body = _body(seed)
    low, high = _WINDOW_HU
    tints = np.resize(np.array(_TINTS, np.float32), channels) if channels > 1 else np.ones(1, np.float32)
    for place in np.linspace(0, body.shape[2] - 1, count).round().astype(int):
        columns, rows = size[1], size[0]
        stretched = resample_channel(np.ascontiguousarray(body[:, :, [place]]), (columns, rows, 1), order=1)[..., 0].T
        grey = (stretched - low) * (255 / (high - low))
        noise = rng.standard_normal((*size, channels), dtype=np.float32) * np.float32(_NOISE_GREY)
        frame = np.clip(np.rint(grey[..., np.newaxis] * tints + noise), 0, 255).astype(np.uint8)
        yield frame if channels > 1 else frame[..., 0]


def _body(seed: int) -> NDArray[np.float32]:
    """HU of a coarse torso; axes to L, P, S."""
    body: NDArray[np.float32] = torso(seed).image.array[0].astype(np.float32)
    return body
