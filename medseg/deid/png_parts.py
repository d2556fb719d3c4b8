"""A PNG file, taken apart chunk by chunk."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from medseg.core.errors import ReadError
from medseg.io.streams import inflated_parts

from .picture_parts import PictureParts, check_picture_size

_PNG = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"PLTE", b"tRNS", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"sBIT")
_LENGTHS = {b"pHYs": 9, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}
_LONGEST_PALETTE = 768
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM_7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class _Chunk(NamedTuple):
    kind: bytes
    content: bytes


def split_png(data: bytes) -> PictureParts:
    """What stays and what goes of a PNG file (ISO/IEC 15948).

    Raises:
        ReadError: If it is damaged, too large, or an animation.
    """
    if not data.startswith(_PNG):
        raise ReadError("not a PNG file")
    chunks = list(_chunks(data))
    size = len(_PNG) + sum(12 + len(chunk.content) for chunk in chunks)
    if chunks[0].kind != b"IHDR" or chunks[-1].kind != b"IEND":
        raise ReadError("its header is damaged or it has no end")
    if any(chunk.kind == b"acTL" for chunk in chunks):
        raise ReadError("holds an animation; write each picture to its own file")
    header = chunks[0].content[:13]
    packed = b"".join(chunk.content for chunk in chunks if chunk.kind == b"IDAT")
    beside = [chunk for chunk in chunks if chunk.kind not in (b"IHDR", b"IDAT", b"IEND")]
    kept = [chunk for chunk in beside if _is_kept(chunk)]
    dropped = [chunk.content for chunk in beside if not _is_kept(chunk)]
    pixels = _Chunk(b"IDAT", _repacked(packed, _size(header)))
    written = [_Chunk(b"IHDR", header), *kept, pixels, _Chunk(b"IEND", b"")]
    behind = [chunks[0].content[13:], chunks[-1].content, data[size:]]
    return PictureParts([_PNG, *map(_stored, written)], [*dropped, *behind])


def _repacked(packed: bytes, wanted: int) -> bytes:
    """The same pixels, and nothing of what followed them."""
    packer = zlib.compressobj()
    parts = [packer.compress(part) for part in inflated_parts(io.BytesIO(packed), wanted)]
    return b"".join([*parts, packer.flush()])


def _chunks(data: bytes) -> Iterator[_Chunk]:
    position = len(_PNG)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield _Chunk(kind, data[position + 8 : position + 8 + length])
        if kind == b"IEND":
            return
        position += 12 + length
    raise ReadError("truncated or damaged; it has no end")


def _stored(chunk: _Chunk) -> bytes:
    check = zlib.crc32(chunk.kind + chunk.content)
    return struct.pack(">I", len(chunk.content)) + chunk.kind + chunk.content + struct.pack(">I", check)


def _is_kept(chunk: _Chunk) -> bool:
    """Whether a chunk holds numbers that change how the pixels look, and no more of them than it may."""
    if chunk.kind in _LENGTHS:
        return len(chunk.content) == _LENGTHS[chunk.kind]
    return chunk.kind in _KEPT and len(chunk.content) <= _LONGEST_PALETTE


def _size(header: bytes) -> int:
    """Bytes of the unpacked pixels, one more a row for its filter."""
    columns, rows, bits, colour, _, _, interlaced = struct.unpack(">2I5B", header)
    if colour not in _SAMPLES or bits not in (1, 2, 4, 8, 16) or interlaced > 1 or not columns * rows:
        raise ReadError("its header is damaged")
    check_picture_size(columns, rows)
    passes = _ADAM_7 if interlaced else ((0, 0, 1, 1),)
    size = 0
    for left, top, across, down in passes:
        wide, high = -(-(columns - left) // across), -(-(rows - top) // down)
        size += high * (1 + -(-wide * bits * _SAMPLES[colour] // 8)) if wide > 0 and high > 0 else 0
    return size
