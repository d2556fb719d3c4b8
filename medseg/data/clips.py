"""The frames of a stream that was kept: a folder of numbered pictures, or a DICOM file such as an ultrasound clip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import InputError, ReadError
from medseg.core.files import existing
from medseg.deid.header_values import figure
from medseg.deid.pixel_frames import read_frames as decoded_frames
from medseg.deid.pixel_views import Views
from medseg.io.dicom_file import read_dicom
from medseg.io.limits import decoding
from medseg.io.raster import is_raster, read_raster

if TYPE_CHECKING:
    from medseg.io.dicom_file import DicomFile

_HEAD = 132
_LARGEST = 2**30
_ROWS, _COLUMNS, _FRAMES, _SAMPLES, _BITS = 0x00280010, 0x00280011, 0x00280008, 0x00280002, 0x00280100


def read_frames(path: Path) -> Iterator[NDArray[Any]]:
    """The frames at ``path``, one after the other.

    Args:
        path: A picture, or a folder, whose PNG, JPEG and TIFF files are taken in the order of the numbers in their
            names and read as they are asked for; or a DICOM file of one or several frames, grey or in colour, in any
            transfer syntax that medseg decodes (no video), which is decoded as a whole.

    Returns:
        Grey frames ``(rows, columns)`` with their stored values, the lightest the largest; colours as
        ``(rows, columns, 3)``: red, green, blue.

    Raises:
        InputError: If nothing is there, or a folder holds no picture.
        ReadError: If a file is damaged, no DICOM file with pixels, in a form that is not read, or larger than 1 GiB
            when decoded.
    """
    if existing(path).is_dir():
        files = picture_files(path)
        if not files:
            raise InputError(f"{str(path)!r} holds no PNG, JPEG or TIFF file")
        return _pictures(files)
    if _is_picture(path):
        return _pictures((path,))
    with decoding(path):
        file = read_dicom(path)
        if file is None:
            raise ReadError("frames are read from pictures, a folder of them, or a DICOM file")
        return _clip(file)


def picture_files(folder: Path) -> tuple[Path, ...]:
    """The pictures directly in a folder, by the numbers in their names: ``frame9`` comes before ``frame10``."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".") and _is_picture(path)]
    return tuple(sorted(files, key=_order))


def _is_picture(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return is_raster(head)


def _order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Numbers by their value, and what stands between them by its letters."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _pictures(files: tuple[Path, ...]) -> Iterator[NDArray[Any]]:
    for path in files:
        pixels = read_raster(path).array[..., 0].transpose(2, 1, 0)
        yield pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _clip(file: DicomFile) -> Iterator[NDArray[Any]]:
    counts = [figure(file.dataset, tag, 1) for tag in (_ROWS, _COLUMNS, _FRAMES, _SAMPLES)]
    size = int(np.prod(counts, dtype=float)) * max(1, figure(file.dataset, _BITS, 8) // 8)
    if size > _LARGEST:
        raise ReadError(f"a clip of {size >> 20} MiB when decoded; up to {_LARGEST >> 20} MiB are read, so divide it")
    frames = decoded_frames(file)
    match frames.photometric:
        case "PALETTE COLOR":
            views = Views(file.dataset, frames)
            return (views.pictures(values)[0] for values in frames.values)
        case "MONOCHROME1":
            highest = 2**frames.bits_stored - 1
            return (highest - values if values.dtype.kind == "u" else ~values for values in frames.values)
        case _:
            return iter(frames.values)
