"""A JPEG 2000 codestream without its comments."""

from __future__ import annotations

from medseg.core.errors import ReadError

_START, _END = b"\xff\x4f\xff\x51", b"\xff\xd9"
_TILE, _PIXELS, _COMMENT = 0x90, 0x93, 0x64
_KNOWN = (*range(0x50, 0x54), 0x55, *range(0x56, 0x5A), *range(0x5C, 0x62), 0x63, _COMMENT, _TILE)


def without_comments(codestream: bytes) -> bytes:
    """The codestream with zeros in its comments, so that all else lies where it was, and nothing behind its end.

    Raises:
        ReadError: If it is damaged, or wrapped in a file of its own.

    References:
        ISO/IEC 15444-1, annex A.
    """
    if not codestream.startswith(_START):
        raise ReadError("no JPEG 2000 codestream")
    data, position, tile = bytearray(codestream), 2, 0
    while data[position : position + 2] != _END:
        marker, end = _segment(data, position)
        if marker == _COMMENT:
            data[position + 4 : end] = bytes(end - position - 4)
        tile = position if marker == _TILE else tile
        position = end
        if data[position : position + 2] == bytes((0xFF, _PIXELS)):
            position = _tile_end(data, tile, position)
    return bytes(data[: position + 2])


def _segment(data: bytearray, position: int) -> tuple[int, int]:
    """The marker of a segment, and where it ends."""
    end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if not position + 4 <= end <= len(data) or data[position] != 0xFF or data[position + 1] not in _KNOWN:
        raise ReadError("a damaged JPEG 2000 codestream")
    return data[position + 1], end


def _tile_end(data: bytearray, tile: int, pixels: int) -> int:
    """Where a part of a tile ends whose header lies at ``tile``; a length of zero means all that is left."""
    length = int.from_bytes(data[tile + 6 : tile + 10], "big")
    end = tile + length if length else data.rfind(_END)
    if tile == 0 or not pixels < end <= len(data):
        raise ReadError("a damaged JPEG 2000 codestream")
    return end
