"""A JPEG file, taken apart segment by segment."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from medseg.core.errors import ReadError

from .picture_parts import PictureParts, check_picture_size

_START, _END = b"\xff\xd8", b"\xff\xd9"
_STANDALONE = (0x01, *range(0xD0, 0xD8))
_FRAME_LS = 0xF7
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), _FRAME_LS)
_TABLES = (0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xF8)
_SCAN, _LAST, _APP_0, _APP_8, _APP_14 = 0xDA, 0xD9, 0xE0, 0xE8, 0xEE


def split_jpeg(data: bytes) -> PictureParts:
    """What stays and what goes of a JPEG or JPEG-LS file (ISO/IEC 10918-1, annex B, and 14495-1, annex C).

    Raises:
        ReadError: If it is damaged or too large.
    """
    if not data.startswith(_START):
        raise ReadError("not a JPEG file")
    parts = PictureParts([_START], [])
    for segment in _segments(data):
        needed = _needed(segment)
        if needed is not None:
            head = bytes((0xFF, segment.marker)) + struct.pack(">H", len(needed) + 2)
            parts.kept.extend((head, needed, segment.coded))
        if needed != segment.content:
            parts.dropped.append(segment.content)
    parts.kept.append(_END)
    return parts


class _Segment(NamedTuple):
    """A marker, what its segment holds, and the coded pixels behind it; what follows the end for the last marker."""

    marker: int
    content: bytes
    coded: bytes


def _segments(data: bytes) -> Iterator[_Segment]:
    position, stuffed = len(_START), 0
    while True:
        marker, position = _marker(data, position)
        if marker == _LAST:
            yield _Segment(marker, data[position:], b"")
            return
        if marker in _STANDALONE:
            continue
        end = position + int.from_bytes(data[position : position + 2], "big")
        if end - position < 2 or end > len(data):
            raise ReadError("truncated or damaged; a segment has no end")
        stuffed = 0x7F if marker == _FRAME_LS else stuffed
        following = _scan_end(data, end, stuffed) if marker == _SCAN else end
        yield _Segment(marker, data[position + 2 : end], data[end:following])
        position = following


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """The next marker, and where what it marks begins."""
    if data[position : position + 1] != b"\xff":
        raise ReadError("truncated or damaged; a segment does not begin where it should")
    while data[position : position + 1] == b"\xff":
        position += 1
    if position >= len(data):
        raise ReadError("truncated or damaged; it has no end")
    return data[position], position + 1


def _needed(segment: _Segment) -> bytes | None:
    """What stays of a segment; None if nothing does."""
    marker, content = segment.marker, segment.content
    if marker in _FRAMES:
        rows, columns = struct.unpack_from(">2H", content, 1)
        check_picture_size(columns, rows)
        return content
    if marker in (_SCAN, *_TABLES):
        return content
    if marker == _APP_0 and content.startswith(b"JFIF\0") and len(content) >= 14:
        return content[:12] + b"\0\0"  # no preview
    if marker == _APP_8 and content.startswith(b"mrfx"):
        return content[:5]  # how JPEG-LS mixed the colours
    if marker == _APP_14 and content.startswith(b"Adobe"):
        return content[:12]
    return None


def _scan_end(data: bytes, position: int, stuffed: int) -> int:
    """Where the coded pixels end: at the first marker that is no restart, and above what is stuffed in after FF."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise ReadError("truncated or damaged; it has no end")
        if data[position + 1] > stuffed and data[position + 1] not in _STANDALONE[1:]:
            return position
        position += 2
