"""The header of a NIfTI file, taken apart into what the voxels need and what may say whose they are.

Only the byte ranges listed here are copied into a new header; they hold numbers. The rest is texts, fields left over
from Analyze 7.5, and bytes that the standard calls unused.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from medseg.core.errors import ReadError
from medseg.core.geometry import Geometry
from medseg.io.nifti import nifti_affine, nifti_header

from .removed import Removed
from .texts import text, texts_in, texts_in_dicom

_DICOM_EXTENSION = 2
_COLOURS = (128, 2304)
_UINT8 = 2
_BITS = {
    2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64, 1536: 128,
    1792: 128, 2048: 256, 2304: 32,
}  # fmt: skip


@dataclass(frozen=True)
class _Version:
    """Byte ranges of one version of the header (nifti1.h, nifti2.h).

    Attributes:
        size: Of the header.
        kept: Ranges that are copied.
        texts: Ranges that may hold text.
        offset: Where the field vox_offset lies, and how ``struct`` packs it.
        magic: Where the magic lies, and what it is in one file.
    """

    name: str
    size: int
    kept: tuple[tuple[int, int], ...]
    texts: tuple[tuple[int, int], ...]
    offset: tuple[int, str]
    magic: tuple[int, bytes]


_NIFTI_1 = _Version(
    name="NIfTI-1",
    size=348,
    kept=((0, 4), (39, 108), (112, 140), (252, 328)),
    texts=((4, 14), (14, 32), (148, 228), (228, 252), (328, 344)),  # data_type db_name descrip aux_file intent_name
    offset=(108, "f"),
    magic=(344, b"n+1\0"),
)
_NIFTI_2 = _Version(
    name="NIfTI-2",
    size=540,
    kept=((0, 4), (12, 168), (176, 240), (344, 508), (524, 525)),
    texts=((240, 320), (320, 344), (508, 524), (525, 540)),  # descrip aux_file intent_name unused_str
    offset=(168, "q"),
    magic=(4, b"n+2\0\r\n\x1a\n"),
)


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """A header in two halves.

    Attributes:
        format: ``NIfTI-1`` or ``NIfTI-2``.
        size: Bytes of the header in the source.
        clean: The header of the target, with the four bytes that say that no extension follows.
        taken: The texts.
        voxels: Bytes of all voxels.
        geometry: The grid of the first three axes.
        is_byte: Whether a voxel is an unsigned byte.
        is_colour: Whether a voxel is RGB or RGBA.
    """

    format: str
    size: int
    clean: bytes
    taken: tuple[Removed, ...]
    voxels: int
    geometry: Geometry
    is_byte: bool
    is_colour: bool


def split_header(head: bytes) -> tuple[NiftiHeader, Any]:
    """The header that the first bytes of a file hold, and nibabel's view of it.

    Raises:
        ReadError: If there is none, its dimensions are not those of an image, or its data type is unknown.
        GeometryError: If its grid is broken.
    """
    header = nifti_header(head)
    version = _NIFTI_2 if int(header["sizeof_hdr"]) == _NIFTI_2.size else _NIFTI_1
    shape = _shape(header)
    code = int(header["datatype"])
    if code not in _BITS:
        raise ReadError("its data type is none of NIfTI's")
    i, j, k = [*shape, 1, 1][:3]
    split = NiftiHeader(
        format=version.name,
        size=version.size,
        clean=_clean(head, version, header.endianness),
        taken=tuple(removed for start, stop in version.texts for removed in text(head[start:stop])),
        voxels=math.prod(shape) * _BITS[code] // 8,
        geometry=Geometry((i, j, k), nifti_affine(header)),
        is_byte=code == _UINT8,
        is_colour=code in _COLOURS,
    )
    return split, header


def texts_in_extensions(data: bytes, endianness: str) -> tuple[Removed, ...]:
    """Texts in what lies between a header and its voxels (nifti1.h, "extended header").

    Args:
        data: From the four bytes behind the header on.
        endianness: ``<`` or ``>``, of the header.
    """
    taken: list[Removed] = []
    position = 4
    while position + 8 <= len(data):
        size, code = struct.unpack_from(f"{endianness}2i", data, position)
        if not 8 <= size <= len(data) - position:
            break
        content = data[position + 8 : position + size]
        taken += texts_in_dicom(content) if code == _DICOM_EXTENSION else texts_in(content)
        position += size
    return (*taken, *texts_in(data[position:]))


def _clean(head: bytes, version: _Version, endianness: str) -> bytes:
    clean = bytearray(version.size + 4)
    for start, stop in version.kept:
        clean[start:stop] = head[start:stop]
    position, packing = version.offset
    struct.pack_into(endianness + packing, clean, position, len(clean))
    position, magic = version.magic
    clean[position : position + len(magic)] = magic
    if version is _NIFTI_1:
        clean[38:39] = b"r"
    return bytes(clean)


def _shape(header: Any) -> tuple[int, ...]:
    dimensions = int(header["dim"][0])
    shape = tuple(int(size) for size in header["dim"][1 : dimensions + 1])
    if not 1 <= dimensions <= 7 or min(shape) < 1:
        raise ReadError("its dimensions are not those of an image")
    return shape
