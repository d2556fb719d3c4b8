"""Pictures that may show text: drawn whole for who may see them, blanked for others, and filled where text is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg.core.errors import InputError
from medseg.core.files import atomic_file
from medseg.core.volume import Volume
from medseg.deid.boxes import Box, covered
from medseg.deid.image_files import image_suffix
from medseg.deid.picture_search import plane_count, seen_planes, ways_to_look
from medseg.deid.pixel_frames import read_frames, with_frames
from medseg.deid.pixel_views import Views
from medseg.deid.study import read_object
from medseg.deid.text_finder import TextFinder
from medseg.io.dicom_file import encode_dicom
from medseg.io.dicom_header import read_header
from medseg.io.formats import read_volume, write_volume

Picture = NDArray[np.uint8]
_ROUNDS, _MARGIN, _PAGE = 3, 2, 0.5


def is_dicom(path: Path) -> bool:
    """Whether a file is a DICOM object."""
    return read_header(path, ()) is not None


def count_planes(path: Path) -> int:
    """Pictures in an image file that is not DICOM."""
    return plane_count(read_volume(path))


def drawn(path: Path, index: int) -> Picture:
    """One picture of a file at its full size, shape ``(rows, columns)`` or ``(rows, columns, 3)``.

    Args:
        path: A DICOM object or an image file.
        index: Of the frame, or of the slice as a reader would see them.

    Raises:
        ReadError: If it cannot be decoded.
        InputError: If there is no such picture.
    """
    if not is_dicom(path):
        for number, plane in enumerate(seen_planes(read_volume(path))):
            if number == index:
                return plane
        raise InputError(f"there is no picture {index + 1}")
    file = read_object(path)
    frames = read_frames(file)
    if not 0 <= index < len(frames.values):
        raise InputError(f"there is no picture {index + 1} of {len(frames.values)}")
    picture = Views(file.dataset, frames).pictures(frames.values[index])[0]
    return 255 - picture if frames.photometric == "MONOCHROME1" else picture


def suspected(picture: Picture, finder: TextFinder | None) -> list[Box]:
    """Where a picture shows text; empty if nothing here can tell."""
    return [] if finder is None else [box.grown(_MARGIN).clipped(*picture.shape[:2]) for box in finder.find(picture)]


def blanked(picture: Picture, finder: TextFinder | None) -> Picture:
    """The picture with its text filled; all of it is filled unless a search finds text, and then none any more.

    A picture that was held back and in which nothing is found may show what the search does not see.

    Args:
        picture: As it is.
        finder: Finds text; None if there is none.
    """
    shown = picture.copy()
    for _ in range(_ROUNDS):
        boxes = suspected(shown, finder)
        if not boxes:
            break
        shown[covered(boxes, *shown.shape[:2])] = 0
    is_unsure = np.array_equal(shown, picture) or bool(suspected(shown, finder))
    return np.zeros_like(picture) if is_unsure or (shown != picture).mean() > _PAGE else shown


def encoded(picture: Picture) -> bytes:
    """The picture as PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def fill_boxes(path: Path, boxes: Sequence[Box]) -> Path:
    """The file with boxes filled with black in each picture, in its place; a picture in JPEG becomes one in PNG.

    Args:
        path: A DICOM object or an image file.
        boxes: In pixels of ``drawn``.

    Raises:
        DataError: If it cannot be decoded.
        OutputError: If it cannot be written.
    """
    if is_dicom(path):
        _fill_object(path, boxes)
        return path
    suffix = image_suffix(path).replace(".jpg", ".png")
    filled = _filled(read_volume(path), boxes)
    path.unlink()
    target = path.with_name(f"{path.name.partition('.')[0]}{suffix}")
    write_volume(target, filled)
    return target


def _fill_object(path: Path, boxes: Sequence[Box]) -> None:
    file = read_object(path)
    frames = read_frames(file)
    frames.fill(covered(boxes, *frames.size), Views(file.dataset, frames).black(frames))
    filled = with_frames(file, frames)
    with atomic_file(path) as partial:
        partial.write_bytes(encode_dicom(filled.dataset, filled.syntax))


def _filled(volume: Volume, boxes: Sequence[Box]) -> Volume:
    filled = volume
    for codes in ways_to_look(volume.geometry):
        seen = filled.reoriented(codes)
        columns, rows = seen.geometry.shape[:2]
        array = seen.array.copy()
        array[:, covered(boxes, rows, columns).T] = array.min()
        filled = Volume(array, seen.geometry, seen.channels).reoriented(volume.geometry.axis_codes)
    return filled
