"""Text in images that are not DICOM: slices are searched as a reader would see them; nothing is blanked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.config.deid import TextSearch
from medseg.core.geometry import LengthUnit
from medseg.core.volume import Volume
from medseg.io.formats import read_volume

from .pixels import PixelResult
from .text_finder import TextFinder

NO_READER = "the image may show text, and nothing here can read it; install the extra ocr, or accept it by its name"
TEXT = "the image shows what looks like text"
TOO_MANY = "the image may show text, and has too many slices to search them"
_MOST_PLANES = 1000
_VIEWS = {"S": "LPS", "I": "LPS", "A": "LIP", "P": "LIP", "R": "PIL", "L": "PIL"}


@dataclass(frozen=True, eq=False)
class Searched:
    """What the search of one image gave; ``preview`` is there if a person has to look."""

    result: PixelResult
    reason: str = ""
    preview: NDArray[np.uint8] | None = None


def search_image(
    path: Path, search: TextSearch, finder: TextFinder | None, *, is_suspect: bool, is_reviewed: bool
) -> Searched:
    """Whether an image shows text.

    Args:
        path: A NIfTI, NRRD, MHA, PNG or JPEG file.
        search: Which images are searched.
        finder: Finds text; None if there is none.
        is_suspect: Whether its form raises a doubt.
        is_reviewed: Whether a person has looked at it.

    Raises:
        ReadError: If it cannot be read.
    """
    if is_reviewed:
        return Searched(PixelResult.REVIEWED)
    if not is_suspect and search is not TextSearch.ALL:
        return Searched(PixelResult.NOT_SUSPECT)
    volume = read_volume(path)
    planes = grey_planes(as_seen(volume))
    if finder is None or search is TextSearch.OFF:
        return Searched(PixelResult.DOUBTFUL, NO_READER, next(planes))
    if volume.geometry.shape[2] > _MOST_PLANES:
        return Searched(PixelResult.DOUBTFUL, TOO_MANY, next(planes))
    for plane in planes:
        if finder.find(plane):
            return Searched(PixelResult.DOUBTFUL, TEXT, plane)
    return Searched(PixelResult.SEARCHED)


def as_seen(volume: Volume) -> Volume:
    """The image turned so that its planes stand upright, cut where its voxels lie farthest apart."""
    geometry = volume.geometry
    if geometry.unit is LengthUnit.PIXEL:
        return volume
    across = geometry.axis_codes[int(np.argmax(geometry.spacing))]
    return volume.reoriented(_VIEWS[across])


def grey_planes(volume: Volume) -> Iterator[NDArray[np.uint8]]:
    """Each slice as grey values, rows first; the window holds all of the image's values."""
    grey = volume.array if volume.array.shape[0] == 1 else volume.array.mean(axis=0, keepdims=True)
    low, high = float(np.nanmin(grey)), float(np.nanmax(grey))
    scale = 255 / (high - low) if high > low else 0.0
    for k in range(grey.shape[3]):
        plane = np.nan_to_num((grey[0, :, :, k].astype(np.float32) - low) * scale)
        yield np.ascontiguousarray(np.rint(plane).clip(0, 255).astype(np.uint8).T)
