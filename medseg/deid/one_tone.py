"""Text over speckle and noise, made visible: what is written has one value, tissue has many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_NEIGHBOURS = 9
_RATIO, _LEAST_PIXELS = 1.5, 100
_MOST_TONES = 12
_REACH, _BLUR = 40.0, 0.6


def one_tone_view(picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The picture with the values bright that far more pixels have than values beside them; None if there are none.

    A letter of one value over tissue puts a spike into the histogram. Values close to a spike are less bright, so that
    smooth edges of letters stay smooth.

    Args:
        picture: Shape ``(rows, columns)``.
    """
    tones = _spikes(picture)
    if not tones:
        return None
    values = np.arange(256, dtype=np.float32)
    distance = np.abs(values[:, None] - np.array(tones, dtype=np.float32)).min(axis=1)
    brightness = np.clip(1 - distance / _REACH, 0, 1) * 255
    view: NDArray[np.float32] = ndimage.gaussian_filter(brightness.astype(np.float32)[picture], _BLUR)
    return np.rint(view).astype(np.uint8)


def _spikes(picture: NDArray[np.uint8]) -> list[int]:
    """The values that stand out most; those that do not occur are left out, as narrow windows skip values."""
    counts = np.bincount(picture.ravel(), minlength=256)
    values = np.flatnonzero(counts)
    present = counts[values]
    around = ndimage.median_filter(present, _NEIGHBOURS, mode="mirror")
    excess = present - _RATIO * around
    order = np.argsort(excess)[::-1][:_MOST_TONES]
    return [int(values[index]) for index in order if excess[index] > _LEAST_PIXELS]
