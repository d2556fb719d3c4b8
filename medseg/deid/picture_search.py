"""Text in images that are not DICOM: slices are searched as a reader would see them; nothing is blanked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.config.deid import TextSearch
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import Volume
from medseg.io.formats import read_volume

from .pixels import PixelResult
from .text_finder import TextFinder

NO_READER = "the image may show text, and nothing here can read it; install the extra ocr, or accept it by its name"
TEXT = "the image shows what looks like text"
TOO_MANY = "the image may show text, and has too many slices to search them"
_MOST_PLANES, _COLOURS = 1000, 3
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
    planes = seen_planes(volume)
    if finder is None or search is TextSearch.OFF:
        return Searched(PixelResult.DOUBTFUL, NO_READER, next(planes))
    if plane_count(volume) > _MOST_PLANES:
        return Searched(PixelResult.DOUBTFUL, TOO_MANY, next(planes))
    for plane in planes:
        if finder.find(plane):
            return Searched(PixelResult.DOUBTFUL, TEXT, plane)
    return Searched(PixelResult.SEARCHED)


def ways_to_look(geometry: Geometry) -> tuple[str, ...]:
    """Axis codes of the image turned so that its planes stand upright, for each axis along which text may be read.

    A flat image is cut across its flat side, any other along its stored third axis, and where its voxels lie farthest
    apart or are fewest: a converted screen shot or ultrasound may lie in any order and have no true spacing.
    """
    if geometry.unit is LengthUnit.PIXEL:
        return ("ijk",)
    flat = [axis for axis in range(3) if geometry.shape[axis] == 1]
    widest = max(range(3), key=lambda axis: (geometry.spacing[axis], axis))
    shortest = min(range(3), key=lambda axis: (geometry.shape[axis], -axis))
    return tuple(_VIEWS[geometry.axis_codes[axis]] for axis in dict.fromkeys(flat or (2, widest, shortest)))


def plane_count(volume: Volume) -> int:
    """How many ``seen_planes`` there are."""
    pictures = len(_parts(volume.array))
    return pictures * sum(volume.geometry.reoriented(codes).shape[2] for codes in ways_to_look(volume.geometry))


def seen_planes(volume: Volume) -> Iterator[NDArray[np.uint8]]:
    """Each slice as a reader sees it, rows first, with colours last if the image has three channels.

    Other channels are seen one by one. The window holds all of a channel's values, or of all colours.
    """
    for codes in ways_to_look(volume.geometry):
        for part in _parts(volume.reoriented(codes).array):
            yield from _planes(part)


def _parts(array: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """What makes one picture a slice: all three colours, or one channel."""
    return [array] if len(array) == _COLOURS else [array[index : index + 1] for index in range(len(array))]


def _planes(part: NDArray[np.generic]) -> Iterator[NDArray[np.uint8]]:
    low, high = float(np.nanmin(part)), float(np.nanmax(part))
    scale = 255 / (high - low) if high > low else 0.0
    for k in range(part.shape[3]):
        plane = np.nan_to_num((part[..., k].astype(np.float32) - low) * scale)
        picture = np.ascontiguousarray(np.rint(plane).clip(0, 255).astype(np.uint8).T)
        yield picture if len(part) == _COLOURS else picture[..., 0]
