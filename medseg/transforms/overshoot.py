"""Splines that stay within the range of what they pass through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .resample import nearest_samples


def keep_range(resampled: NDArray[np.float32], source: NDArray[np.float32], nearest_axis: int | None = None) -> None:
    """Clip a resampled channel, in place, to the values between the smallest and the largest of its source.

    Where slices were taken as they are and resampled one by one, each is clipped to the range of its own.

    Args:
        resampled: Shape ``(i, j, k)``, over the same extent as the source; changed.
        source: What it was made of.
        nearest_axis: Axis across which slices were taken, see ``coarse_axis``; None if all axes were interpolated.

    References:
        ``skimage.transform.resize`` with ``clip=True``, as nnU-Net calls it for a volume or for each slice.
    """
    if nearest_axis is None:
        np.clip(resampled, source.min(), source.max(), out=resampled)
        return
    taken = nearest_samples(source.shape[nearest_axis], resampled.shape[nearest_axis])
    others = tuple(axis for axis in range(3) if axis != nearest_axis)
    low, high = (
        reduced(source, axis=others, keepdims=True).take(taken, axis=nearest_axis) for reduced in (np.min, np.max)
    )
    np.clip(resampled, low, high, out=resampled)
