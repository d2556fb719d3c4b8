"""What a compressed frame says of itself, read before a decoder gets it."""

from __future__ import annotations

from dataclasses import dataclass

_JPEG_STARTS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}  # 0xF7: JPEG-LS
_JPEG_SCAN = 0xDA
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
    """The header of a JPEG, JPEG-LS or JPEG 2000 frame; None if it is none of them or cut off.

    References:
        ISO/IEC 10918-1 section B.2.2, 14495-1 section C.2.2, 15444-1 section A.5.1.
    """
    if frame[:2] == b"\xff\xd8":
        return _jpeg_header(frame)
    start = frame.find(_J2K_START, 0, _J2K_SEARCHED)  # behind the boxes of a JP2 file, if it is wrapped in one
    return _j2k_header(frame[start + 4 : start + 48]) if start >= 0 else None


def _jpeg_header(frame: bytes) -> FrameHeader | None:
    position = 2
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker in _JPEG_STARTS:
            rows, columns = _number(frame[position + 5 : position + 7]), _number(frame[position + 7 : position + 9])
            return FrameHeader(rows, columns, frame[position + 9], frame[position + 4])
        if marker == _JPEG_SCAN:
            return None
        position += 1 if marker == 0xFF else 2 + _number(frame[position + 2 : position + 4])
    return None


def _j2k_header(size: bytes) -> FrameHeader | None:
    if len(size) < 39:
        return None
    right, bottom, left, top = (_number(size[at : at + 4]) for at in (4, 8, 12, 16))
    return FrameHeader(bottom - top, right - left, _number(size[36:38]), (size[38] & 0x7F) + 1)


def _number(big_endian: bytes) -> int:
    return int.from_bytes(big_endian, "big")
