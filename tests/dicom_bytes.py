"""DICOM files put together byte by byte, so that they can be as wrong as need be."""

from __future__ import annotations

import struct
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian

UNDEFINED = 0xFFFFFFFF
CT = "1.2.840.10008.5.1.4.1.1.2"
_LONG = ("OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UN", "UR", "UT")
DATA = Path(pydicom.__file__).parent / "data"


def element(tag: int, representation: str, value: bytes = b"", length: int | None = None, *, big=False) -> bytes:
    """An element with an explicit representation; ``length`` says what is not true."""
    value += b"\0" * (len(value) % 2)
    order, length = ">" if big else "<", len(value) if length is None else length
    head = struct.pack(order + "HH2s", tag >> 16, tag & 0xFFFF, representation.encode("latin-1"))
    wide = representation in _LONG
    return head + (struct.pack(order + "HL", 0, length) if wide else struct.pack(order + "H", length)) + value


def implicit(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    """An element without a representation."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(content: bytes = b"", *, delimited=False) -> bytes:
    """An item of a sequence, of known length or with a delimiter at its end."""
    return implicit(0xFFFEE000, content, UNDEFINED if delimited else None) + implicit(0xFFFEE00D) * delimited


def delimited(tag: int, representation: str, content: bytes) -> bytes:
    """An element of undefined length."""
    return element(tag, representation, content, UNDEFINED) + implicit(0xFFFEE0DD)


def meta(syntax: str | None = ExplicitVRLittleEndian, content_class: str = CT) -> bytes:
    """File meta information with its group length."""
    elements = element(0x00020002, "UI", content_class.encode())
    elements += element(0x00020010, "UI", syntax.encode()) if syntax else b""
    return element(0x00020000, "UL", struct.pack("<L", len(elements))) + elements


def dicom_bytes(*elements: bytes, syntax: str | None = ExplicitVRLittleEndian, preamble: bytes = b"") -> bytes:
    """A DICOM file of these elements."""
    return preamble.ljust(128, b"\0") + b"DICM" + meta(syntax) + b"".join(elements)


IDENTITY = element(0x00080016, "UI", CT.encode()) + element(0x00080018, "UI", b"1.2.3.4")
"""The elements without which nothing can be written."""
PIXELS = element(0x7FE00010, "OW", b"\1\2\3\4")
IMPLICIT_IDENTITY = implicit(0x00080016, CT.encode()) + implicit(0x00080018, b"1.2.3.4")


def bundled() -> list[Path]:
    """The files in pydicom's wheel; what its tests download lies elsewhere."""
    others = (".py", ".pyc", ".json")
    return sorted(path for path in DATA.rglob("*") if path.is_file() and path.suffix not in others)
