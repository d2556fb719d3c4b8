"""MHA files written anew: only fields that lay out the voxels, each with a value of the form that it must have."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from medseg.core.errors import ReadError
from medseg.core.files import atomic_file
from medseg.io.limits import check_decoded_size, decoding_unnamed
from medseg.io.meta_image import META_TYPES, MetaImageLayout, meta_image_header, meta_image_layout
from medseg.io.streams import inflated_parts, opened_regular, parts

from .field_forms import NUMBERS
from .image_cleaned import ByteLevels, ImageCleaned, may_be_head, may_hold_text, watched
from .removed import Removed
from .texts import text, texts_in

_WHOLE = r"\d{1,10}(?:\s+\d{1,10})*"
_TRUTH = "True|False|true|false|T|F|t|f|1|0"
_NEEDED = {
    "ObjectType": "Image",
    "NDims": r"\d{1,2}",
    "BinaryData": _TRUTH,
    "BinaryDataByteOrderMSB": _TRUTH,
    "ElementByteOrderMSB": _TRUTH,
    "CompressedData": _TRUTH,
    "TransformMatrix": NUMBERS,
    "Orientation": NUMBERS,
    "Rotation": NUMBERS,
    "Offset": NUMBERS,
    "Position": NUMBERS,
    "Origin": NUMBERS,
    "CenterOfRotation": NUMBERS,
    "ElementSpacing": NUMBERS,
    "ElementSize": NUMBERS,
    "DimSize": _WHOLE,
    "ElementNumberOfChannels": r"\d{1,4}",
    "ElementType": "|".join(f"{name}(?:_ARRAY)?" for name in META_TYPES),
}
_OPTIONAL = {"AnatomicalOrientation": r"[RLAPIS?]{2,3}"}
_REBUILT = ("CompressedDataSize", "HeaderSize", "ElementDataFile")
_LARGEST_REST = 2**20


def clean_meta_image(source: Path, target: Path) -> ImageCleaned:
    """Write an MHA file whose voxels and grid are those of ``source``, packed if those are.

    All fields but those of the grid and of the voxels' type go; so do bytes behind the voxels.

    Raises:
        ReadError: If the source is damaged, detached, too large, a link, no MHA file, or a field has a value that it
            may not have. Neither file nor value is named.
        GeometryError: If it has no sound grid.
        OutputError: If the target cannot be written.
    """
    with opened_regular(source) as file:
        with decoding_unnamed():
            kept, taken = _split(meta_image_header(file))
            layout = meta_image_layout(kept)
            check_decoded_size(layout.nbytes, os.fstat(file.fileno()).st_size)
        levels = ByteLevels()
        voxels = inflated_parts(file, layout.nbytes) if layout.is_packed else parts(file, layout.nbytes)
        with atomic_file(target) as partial, partial.open("wb") as out:
            _write(out, kept, watched(voxels, levels, are_bytes=layout.dtype == "u1"), is_packed=layout.is_packed)
        rest = b"" if layout.is_packed else file.read(_LARGEST_REST)
    doubt = _may_show_text(layout, levels)
    return ImageCleaned("MetaImage", (*taken, *texts_in(rest)), doubt, may_be_head(layout.geometry))


def _split(header: Mapping[str, str]) -> tuple[dict[str, str], tuple[Removed, ...]]:
    """The fields that stay, and the texts of those that go."""
    kept: dict[str, str] = {}
    taken: tuple[Removed, ...] = ()
    for name, value in header.items():
        if name in _NEEDED and not re.fullmatch(_NEEDED[name], value, re.ASCII):
            raise ReadError(f"the field {name!r} of its header has a value that is not known; save it anew")
        if name in _NEEDED or (name in _OPTIONAL and re.fullmatch(_OPTIONAL[name], value)):
            kept[name] = value
        elif name not in _REBUILT:
            taken += text(value.encode("latin-1"))
    return kept, taken


def _write(out: BinaryIO, kept: Mapping[str, str], voxels: Iterable[bytes], *, is_packed: bool) -> None:
    """Header and voxels; the size of packed voxels, which is known last, gets its place in the header first."""
    fields = "".join(f"{name} = {value}\n" for name, value in kept.items())
    if not is_packed:
        out.write(f"{fields}ElementDataFile = LOCAL\n".encode("ascii"))
        out.writelines(voxels)
        return
    out.write(f"{fields}CompressedDataSize = {0:020d}\nElementDataFile = LOCAL\n".encode("ascii"))
    packer, size = zlib.compressobj(level=1), 0
    for part in voxels:
        size += out.write(packer.compress(part))
    size += out.write(packer.flush())
    out.seek(len(f"{fields}CompressedDataSize = "))
    out.write(f"{size:020d}".encode("ascii"))


def _may_show_text(layout: MetaImageLayout, levels: ByteLevels) -> bool:
    is_colour = layout.components in (3, 4) and layout.dtype.itemsize == 1
    return may_hold_text(layout.geometry, levels, is_colour=is_colour)
