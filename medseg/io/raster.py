"""Two-dimensional pictures: PNG, JPEG and TIFF, through Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from medseg.core.errors import InputError, ReadError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import Volume

from .limits import decoding

LARGEST_PICTURE = 178_956_970
"""Pixels; what Pillow itself takes for a decompression bomb beyond."""
RGB = ("red", "green", "blue")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FORMATS = ("PNG", "JPEG", "TIFF")
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MODES = ("1", "L", "LA", "I;16", "I;16B", "I", "F", "RGB", "RGBA")
_PACKED = {"L;2": 85, "L;4": 17}
_SAMPLE_FORMAT = 339


def is_raster(head: bytes) -> bool:
    """Whether a file that begins with ``head``, of 132 bytes or more, is PNG, JPEG or TIFF.

    A DICOM file whose preamble is the head of a TIFF (PS3.10, section 7.1) is none: what it says of grid and patient
    counts.
    """
    return head.startswith(_MAGIC) and head[128:132] != b"DICM"


def read_raster(path: Path) -> Volume:
    """The picture in a PNG, JPEG or TIFF file as a volume with k = 1.

    Index i is the column and j the row, with axis codes LPS as in a radiological picture: the right of the picture is
    the patient's left. Lengths are in pixels, resolution tags are not believed. Colours become the channels ``red``,
    ``green`` and ``blue``, a palette its colours; transparency is dropped. Greys keep their bits: 1, 2 and 4 bit values
    are not stretched, 16 bit stay uint16.

    Raises:
        ReadError: If it is damaged, too large, a stack of pictures, or has colours of 16 bits.
    """
    with _opened(path) as picture:
        if picture.mode in ("P", "PA"):
            return _volume(np.asarray(picture.convert("RGB")))
        return _volume(_pixels(picture))


def read_raster_values(path: Path) -> Volume:
    """The stored values of a picture: as ``read_raster``, but a palette gives its indices, as label maps need them.

    Raises:
        ReadError: As ``read_raster``.
    """
    with _opened(path) as picture:
        if picture.mode == "P":
            return _volume(np.asarray(picture))
        return _volume(_pixels(picture))


def picture_grid(width: int, height: int) -> Geometry:
    """The grid of a picture, as ``read_raster`` has it."""
    return Geometry((width, height, 1), _LPS, LengthUnit.PIXEL)


def write_raster(path: Path, volume: Volume) -> None:
    """Write a picture as PNG or TIFF: greys of 8 or 16 bits (TIFF: also float32), or red, green and blue of 8.

    Raises:
        InputError: If the volume is no picture, or has a type that the format cannot hold without loss.
    """
    turned = volume.reoriented("LPS")
    if turned.geometry.shape[2] != 1 or turned.geometry.unit is not LengthUnit.PIXEL:
        raise InputError(f"a {path.suffix} file holds no millimetres and one slice only; write .nii.gz, .nrrd or .mha")
    pixels = turned.array[..., 0]
    greys = ("uint8", "uint16", "float32") if path.suffix.lower() in (".tif", ".tiff") else ("uint8", "uint16")
    if len(pixels) == 1 and pixels.dtype.name in greys:
        Image.fromarray(np.ascontiguousarray(pixels[0].T)).save(path)
    elif volume.channels == RGB and pixels.dtype == np.uint8:
        Image.fromarray(np.ascontiguousarray(pixels.transpose(2, 1, 0))).save(path)
    else:
        raise InputError(
            f"{len(pixels)} channels of {pixels.dtype} do not go into a {path.suffix} file without loss; "
            "write .nii.gz, .nrrd or .mha"
        )


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """The picture with its header checked and its pixels not decoded; what Pillow raises meanwhile is translated."""
    with decoding(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, and of large pictures below its limit
        try:
            picture = Image.open(path, formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise ReadError(f"has more than {LARGEST_PICTURE} pixels, the largest picture that is read") from error
        with picture:
            pages = getattr(picture, "n_frames", 1)
            if pages > 1 and picture.format in ("PNG", "TIFF"):  # JPEG's second picture is a preview
                raise ReadError(
                    f"holds {pages} pictures; write each to its own file, or the stack as .nii.gz with its voxel size"
                )
            yield picture


def _pixels(picture: ImageFile) -> NDArray[Any]:
    """Stored values, shape ``(row, column)`` or ``(row, column, 3)``; transparency is dropped."""
    raw_mode = _raw_mode(picture)
    if "16" in raw_mode and picture.mode in ("RGB", "RGBA", "LA"):
        raise ReadError("holds colours of 16 bits, of which 8 would be lost; write one 16 bit grey file a channel")
    if picture.mode not in _MODES or _is_signed_byte(picture):
        raise ReadError(f"stores pixels as {picture.mode!r}, which is not read; convert it to grey or RGB")
    values = np.asarray(picture)
    if picture.mode == "LA":
        values = values[..., 0]
    elif picture.mode == "RGBA":
        values = values[..., :3]
    if raw_mode in _PACKED:
        values = values // _PACKED[raw_mode]
    return values.astype(np.uint8 if picture.mode == "1" else values.dtype.newbyteorder("="), copy=False)


def _raw_mode(picture: ImageFile) -> str:
    """How the file packs its pixels, in Pillow's words; it must be asked before the pixels are decoded."""
    arguments = picture.tile[0].args if picture.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _is_signed_byte(picture: ImageFile) -> bool:
    """Whether a TIFF holds signed bytes, which Pillow would read as unsigned."""
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    return picture.mode == "L" and tags.get(_SAMPLE_FORMAT) == (2,)


def _volume(pixels: NDArray[Any]) -> Volume:
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    array = pixels.transpose(2, 1, 0)[..., np.newaxis]
    names = RGB if len(array) == 3 else ("image",)
    return Volume(array, picture_grid(array.shape[1], array.shape[2]), names)
