"""Intensities made comparable."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import ChannelSection, Intensity

_UNIT_MAXIMUM = 255.0
_CONSTANT = 1e-6
_SMALLEST_RANGE = 1e-8


def normalize(
    channel: NDArray[np.generic], section: ChannelSection, inside: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """One channel with comparable intensities, as the section says.

    Values that are not finite are replaced first: NaN and minus infinity by the smallest finite value, infinity by the
    largest, all of them by 0 if none is finite. A constant image becomes 0 under ``zscore`` and ``rescale``.

    Args:
        channel: Voxels, shape ``(i, j, k)``, any real dtype; not changed.
        section: How its intensities are normalised.
        inside: Of voxels outside it, ``zscore`` measures and changes nothing, but NaN is 0 there; None is the whole
            channel.

    Returns:
        New array of the same shape.
    """
    values = finite_values(channel)
    match section.intensity:
        case Intensity.CT:
            low, high = section.clip or (-np.inf, np.inf)
            np.clip(values, low, high, out=values)
            values -= np.float32(section.mean or 0.0)
            values /= np.float32(section.std or 1.0)
        case Intensity.ZSCORE:
            if inside is not None:
                values[np.isnan(channel) & ~inside] = 0
            _standardize_inside(values, inside)
        case Intensity.UNIT:
            values /= np.float32(_UNIT_MAXIMUM)
        case Intensity.RESCALE:
            values -= values.min()
            values /= max(values.max(), np.float32(_SMALLEST_RANGE))
        case Intensity.NONE:
            pass
        case _:
            assert_never(section.intensity)
    return values


def finite_values(channel: NDArray[np.generic]) -> NDArray[np.float32]:
    """Copy as float32; what is not finite is replaced as ``normalize`` says."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = channel.astype(np.float32, order="C")
    if np.issubdtype(channel.dtype, np.floating) and not np.isfinite(values).all():
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        np.nan_to_num(values, copy=False, nan=low, neginf=low, posinf=high)
    return values


def _standardize_inside(values: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> None:
    if inside is None:
        _standardize(values)
    elif inside.any():
        chosen = values[inside][np.newaxis]
        _standardize(chosen)
        values[inside] = chosen[0]


def _standardize(values: NDArray[np.float32]) -> None:
    mean = values.mean(dtype=np.float64)
    values -= np.float32(mean)
    # Slab by slab, so that the squares in double precision never exist for the whole volume.
    squares = sum(float(np.square(slab, dtype=np.float64).sum()) for slab in values)
    deviation = (squares / values.size) ** 0.5
    values /= np.float32(max(deviation, _CONSTANT * abs(mean), float(np.finfo(np.float32).tiny)))
