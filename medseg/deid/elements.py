"""Elements as bytes, whether pydicom has already made objects of them or not."""

from __future__ import annotations

from typing import TypeAlias

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from .values import trimmed

Raw = RawDataElement
Element: TypeAlias = RawDataElement | DataElement
_SHORT_HEADER, _LONG_HEADER = 8, 12
_LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})


def stored(dataset: Dataset, element: Element) -> bytes:
    """The value of an element that is no sequence, as it stands or would stand in the file."""
    if isinstance(element, RawDataElement):
        return bytes(element.value or b"")
    implicit, little = encoding_of(dataset)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_data_element(buffer, element, dataset.original_character_set or "iso8859")
    long_header = not implicit and element.VR in _LONG_VRS
    return bytes(buffer.getvalue()[_LONG_HEADER if long_header else _SHORT_HEADER :])


def with_value(dataset: Dataset, element: Element, value: bytes, vr: str) -> RawDataElement:
    """The element with another value."""
    implicit, little = encoding_of(dataset)
    return RawDataElement(element.tag, vr, len(value), value, 0, implicit, little)


def encoding_of(dataset: Dataset) -> tuple[bool, bool]:
    """Whether the data set is stored with implicit representations, and whether in little endian."""
    implicit, little = dataset.original_encoding
    return bool(implicit), little is not False


def bare(dataset: Dataset, tag: int) -> str:
    """The first value of an element of ASCII text without its padding; empty if it is absent."""
    element = dataset.get_item(tag) if tag in dataset else None
    if element is None:
        return ""
    return trimmed(stored(dataset, element).split(b"\\")[0]).decode("latin-1")
