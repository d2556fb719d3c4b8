"""A plain DICOM header, walked in one piece of memory.

pydicom's parser asks the file for each element, which takes longer than reading the pixels. Nearly all files have a
header that needs none of its care: elements in order, of known representations, whose lengths fit. Those are walked
here. Whatever is unusual in any way is left to the parser and its limits, so that nothing is taken that it refuses.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from pydicom.charset import convert_encodings, default_encoding, python_encoding
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

UNDEFINED = 0xFFFFFFFF
"""The length that says that a delimiter ends the value (PS3.5 section 7.1.1)."""
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_WINDOWS = (2**14, 2**19)
_DEEPEST = 8
_PREAMBLE = 128
_CLASS, _SYNTAX, _CHARACTER_SET = 0x00020002, 0x00020010, 0x00080005
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_META, _DELIMITERS = 0x0002, 0xFFFE
_SHORT = {name.encode(): name.value for name in EXPLICIT_VR_LENGTH_16}
_LONG = {name.encode(): name.value for name in EXPLICIT_VR_LENGTH_32}
_SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
_UID = re.compile(rb"[0-9.]{1,64}\0*")
_PIXEL_REPRESENTATIONS = (None, "OB", "OW", "OF", "OD", "OL", "OV", "UN")
_NOT_WALKED = frozenset(map(str, (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)))
_explicit = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHL").unpack_from
_length = struct.Struct("<L").unpack_from
base_tag = lru_cache(maxsize=4096)(BaseTag)
"""pydicom's tag of a number, always the same object: telling equal ones from each other is slow."""
_Element = tuple[int, str | None, int, int]
"""Tag, representation, length, and where the value begins."""


@dataclass(frozen=True, eq=False)
class Walked:
    """What ``walked_header`` found.

    Attributes:
        elements: Those that were asked for, and the character set, raw.
        encodings: Python's names of the character set, as pydicom has them.
        is_implicit: Whether the elements name no representations.
        syntax: Transfer syntax UID.
        pixels: Tag of the pixel element, where its value begins and its length; None if there is none.
    """

    elements: dict[BaseTag, RawDataElement]
    encodings: str | list[str]
    is_implicit: bool
    syntax: str
    pixels: tuple[int, int, int] | None


class _Unusual(Exception):  # noqa: N818 - nothing is wrong, it is only not for this module
    """The header needs the parser."""


def walked_header(file: BinaryIO, size: int, tags: frozenset[int]) -> Walked | None:
    """The elements ``tags`` of a little endian file of ``size`` bytes; None if its header is not plain."""
    for window in _WINDOWS:
        file.seek(0)
        head = file.read(window)
        try:
            return _Walk(head, size, tags | {_CHARACTER_SET}).header()
        except _Unusual:
            return None
        except struct.error:  # it goes on behind the window, or the file is cut off
            if len(head) < window:
                return None
    return None


class _Walk:
    """One header in memory; reading behind its end raises ``struct.error``."""

    def __init__(self, head: bytes, size: int, tags: frozenset[int]) -> None:
        self._head, self._size, self._tags = head, size, tags
        self._is_implicit = False

    def header(self) -> Walked:
        """See ``walked_header``."""
        if self._head[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
            raise _Unusual
        syntax, position = self._meta(_PREAMBLE + 4)
        self._is_implicit = syntax == str(ImplicitVRLittleEndian)
        if self._looks_explicit(position) == self._is_implicit:
            raise _Unusual
        elements, pixels = self._elements(position)
        return Walked(elements, _encodings(elements), self._is_implicit, syntax, pixels)

    def _meta(self, position: int) -> tuple[str, int]:
        """The transfer syntax, and where the data set begins (PS3.10 section 7.1)."""
        uids: dict[int, str] = {}
        last = 0
        while _implicit(self._head, position)[0] == _META:
            tag, _, length, value_at = self._element(position)
            if length == UNDEFINED or tag <= last:
                raise _Unusual
            last, position = tag, value_at + length
            if tag in (_CLASS, _SYNTAX):
                uids[tag] = self._uid(value_at, length)
        if _SYNTAX not in uids or uids[_SYNTAX] in _NOT_WALKED or uids.get(_CLASS) == MediaStorageDirectoryStorage:
            raise _Unusual
        return uids[_SYNTAX], position

    def _elements(self, position: int) -> tuple[dict[BaseTag, RawDataElement], tuple[int, int, int] | None]:
        """The elements that are wanted; tag of the pixels, where their value begins, and its length."""
        found: dict[BaseTag, RawDataElement] = {}
        last = 0
        while position != self._size:
            element = self._element(position)
            tag, representation, length, value_at = element
            if tag in PIXEL_TAGS and representation in _PIXEL_REPRESENTATIONS:
                return found, (tag, value_at, length)
            if not last < tag < PIXEL_TAGS[0]:
                raise _Unusual
            if tag in self._tags:
                found[base_tag(tag)] = self._raw(element)
            position = value_at + length if length != UNDEFINED else self._after_sequence(element, 0)
            last = tag
        return found, None

    def _element(self, position: int) -> _Element:
        if self._is_implicit:
            group, number, length = _implicit(self._head, position)
            return group << 16 | number, None, length, position + 8
        group, number, code, length = _explicit(self._head, position)
        representation = _SHORT.get(code)
        if representation is not None:
            return group << 16 | number, representation, length, position + 8
        if code not in _LONG:
            raise _Unusual
        return group << 16 | number, _LONG[code], _length(self._head, position + 8)[0], position + 12

    def _raw(self, element: _Element) -> RawDataElement:
        tag, representation, length, value_at = element
        if length == UNDEFINED:
            raise _Unusual
        value = self._head[value_at : value_at + length] if length else empty_value_for_VR(representation, raw=True)
        if length and len(value) < length:
            raise struct.error
        return RawDataElement(base_tag(tag), representation, length, value, value_at, self._is_implicit, True)

    def _uid(self, start: int, length: int) -> str:
        value = self._head[start : start + length]
        if len(value) < length or not _UID.fullmatch(value):
            raise _Unusual
        return value.rstrip(b"\0").decode()

    def _looks_explicit(self, position: int) -> bool:
        """Whether two capitals stand where a representation would."""
        _, _, code, _ = _explicit(self._head, position)
        return bool(code.isalpha() and code.isupper())

    def _after_sequence(self, element: _Element, depth: int) -> int:
        """Where a sequence of undefined length ends, which no one wants (PS3.5 section 7.5)."""
        tag, representation, _, position = element
        is_sequence = tag in _SEQUENCES if self._is_implicit else representation == "SQ"
        if not is_sequence or depth == _DEEPEST:
            raise _Unusual
        while True:
            group, number, length = _implicit(self._head, position)
            tag, position = group << 16 | number, position + 8
            if tag == _SEQUENCE_END:
                return position
            if tag != _ITEM:
                raise _Unusual
            position = self._after_item(position, None if length == UNDEFINED else position + length, depth)

    def _after_item(self, position: int, end: int | None, depth: int) -> int:
        """Where an item ends; at ``end`` if its length is defined."""
        while position != end:
            group, number, _ = _implicit(self._head, position)
            if group << 16 | number == _ITEM_END and end is None:
                return position + 8
            element = self._element(position)
            tag, _, length, value_at = element
            if group == _DELIMITERS or tag == _CHARACTER_SET:
                raise _Unusual
            position = value_at + length if length != UNDEFINED else self._after_sequence(element, depth + 1)
            if end is not None and position > end:
                raise _Unusual
        return position


def _encodings(elements: dict[BaseTag, RawDataElement]) -> str | list[str]:
    element = elements.get(base_tag(_CHARACTER_SET))
    if element is None:
        return str(default_encoding)
    value = (element.value or b"").rstrip(b" ").decode("ascii", "replace")
    if element.VR not in (None, "CS") or value not in python_encoding or value.startswith("ISO 2022"):
        raise _Unusual
    encodings: list[str] = convert_encodings(value)
    return encodings
