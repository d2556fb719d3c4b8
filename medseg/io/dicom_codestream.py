"""What a compressed frame says of itself, read before a decoder gets it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_JPEG_STARTS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}  # 0xF7: JPEG-LS
_JPEG_LOSSLESS, _JPEG_TABLES, _JPEG_SCAN = 0xC3, 0xC4, 0xDA
_END, _PADDING = b"\xff\xd9", 16
_J2K_START = b"\xff\x4f\xff\x51"
_J2K_SEARCHED = 4096


@dataclass(frozen=True)
class FrameHeader:
    """Size, samples a pixel and bits a sample of a compressed frame."""

    rows: int
    columns: int
    samples: int
    precision: int


def frame_header(frame: bytes) -> FrameHeader | None:
    """The header of a JPEG, JPEG-LS or JPEG 2000 frame; None if it is none of them, broken, or without an end.

    References:
        ISO/IEC 10918-1 section B.2, 14495-1 section C.2.2, 15444-1 section A.5.1.
    """
    if _END not in frame[-_PADDING:]:
        return None
    if frame[:2] == b"\xff\xd8":
        return _jpeg_header(frame)
    start = frame.find(_J2K_START, 0, _J2K_SEARCHED)  # behind the boxes of a JP2 file, if it is wrapped in one
    return _j2k_header(frame[start + 4 : start + 48]) if start >= 0 else None


def _jpeg_header(frame: bytes) -> FrameHeader | None:
    header, start, tables = None, 0, set()
    for marker, segment in _jpeg_segments(frame):
        if marker in _JPEG_STARTS and len(segment) >= 6:
            header, start = FrameHeader(_number(segment[1:3]), _number(segment[3:5]), segment[5], segment[0]), marker
        elif marker == _JPEG_TABLES:
            tables |= _huffman_tables(segment)
        elif marker == _JPEG_SCAN:
            # GDCM ends the process if a lossless scan names a table that is not there
            complete = len(segment) >= 3 and (start != _JPEG_LOSSLESS or segment[2] >> 4 in tables)
            return header if complete else None
    return None


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment up to the first scan; ends early where the chain is broken."""
    position = 2
    while position + 4 <= len(frame) and frame[position] == 0xFF:
        marker, length = frame[position + 1], _number(frame[position + 2 : position + 4])
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        yield marker, frame[position + 4 : position + 2 + length]
        position += 2 + length


def _huffman_tables(segment: bytes) -> set[int]:
    """Class and number, as one byte each, of the tables in a segment."""
    tables, position = set(), 0
    while position + 17 <= len(segment):
        tables.add(segment[position])
        position += 17 + sum(segment[position + 1 : position + 17])
    return tables


def _j2k_header(size: bytes) -> FrameHeader | None:
    if len(size) < 39:
        return None
    right, bottom, left, top = (_number(size[at : at + 4]) for at in (4, 8, 12, 16))
    return FrameHeader(bottom - top, right - left, _number(size[36:38]), (size[38] & 0x7F) + 1)


def _number(big_endian: bytes) -> int:
    return int.from_bytes(big_endian, "big")
