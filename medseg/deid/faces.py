"""Images of heads without their faces ("Clean Recognizable Visual Features Option", PS3.15 section E.3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.core.volume import Volume

from .face_dicom import deface_series
from .face_mask import face_mask
from .head_signs import is_head

__all__ = ["deface_series", "deface_volume", "face_mask", "is_head"]


def deface_volume(volume: Volume) -> Volume:
    """The image with the lowest value of each channel where the face was; all other voxels stay as they are.

    Raises:
        DeidError: If the face could not be found for certain.
    """
    mask = face_mask(volume)
    return Volume(np.stack([_filled(channel, mask) for channel in volume.array]), volume.geometry, volume.channels)


def _filled(array: NDArray[np.generic], mask: NDArray[np.bool_]) -> NDArray[np.generic]:
    """A copy with the lowest number in it where ``mask`` is true."""
    filled = array.copy()
    filled[mask] = np.nanmin(array)
    return filled
