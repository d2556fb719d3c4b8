"""The elements of a data set: out of bytes within bounds, and back into bytes as they were.

Sequences are opened while the data set is read, whatever their length says, so that no later step meets one that is too
deep or too long. All other elements stay raw until they are asked for, and are written as they were read.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from pydicom.charset import convert_encodings, default_encoding
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset, read_sequence
from pydicom.filewriter import write_data_element, write_dataset
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from medseg.core.errors import ReadError

from .dicom_header import CUT_OFF, PIXEL_TAGS, UNDEFINED, BoundedStream, Budget

_MOST_READS = 2**21
_MOST_PASSES = 64
_DEEPEST = 32
_SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
_NO_ELEMENTS = (0x0000, 0x0002, 0xFFFE)  # commands, file meta information, stray delimiters
_AFTER_PIXELS = (0x7FE0, 0xFFFA, 0xFFFC)  # more of the pixels, signatures, padding
_CHARACTER_SET = 0x00080005
_DELIMITER = (0xFFFE, 0xE0DD, 0)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Inside, pydicom neither checks values nor warns of them: its warnings quote what they are about."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_elements(stream: BinaryIO, *, is_implicit: bool, is_little_endian: bool) -> Dataset:
    """The data set from where ``stream`` stands to its end, which zeros and other things may follow.

    Whether representations are implicit is only what is expected; ``original_encoding`` of the result says what was
    found. Each byte may be read some times, once a level that it is nested in, and reads are counted.

    Raises:
        ReadError: If it is empty, cut off, nested more than 32 deep, or made of millions of elements; other damage
            raises anything.
    """
    start = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(start)
    budget, end = _budget(size), _End()
    dataset = read_dataset(BoundedStream(stream, size, budget), is_implicit, is_little_endian, stop_when=end)
    if not dataset:
        raise ReadError("a DICOM file holds no data set")
    if stream.tell() < size and not end.is_reached:
        raise ReadError("a DICOM file goes on behind a delimiter that ends its data set")
    _settle([dataset], 0, budget)
    return dataset


def check_items(value: bytes) -> None:
    """Open the stored items of a sequence, in whatever encoding, and forget them.

    Raises:
        ReadError: As ``read_elements``.
    """
    is_little_endian = not value.startswith(b"\xff\xfe")
    budget = _budget(len(value))
    _settle(_items(value, (False, is_little_endian), default_encoding, budget), 1, budget)


def encoded_elements(dataset: Dataset, *, is_implicit: bool, is_little_endian: bool) -> Iterator[bytes]:
    """The elements in order, as parts to be joined; group lengths, which are retired, are left out.

    What is raw stays so if the encoding and the character set are those that the data set was read in.
    """
    encoding = (is_implicit, is_little_endian)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding
    if encoding != dataset.original_encoding or _character_set(dataset) != dataset.original_character_set:
        write_dataset(buffer, dataset)
        yield buffer.getvalue()
        return
    named_character_set = dataset.get("SpecificCharacterSet", default_encoding)
    for tag in sorted(dataset.keys()):
        element = dataset.get_item(tag, keep_deferred=True)
        if tag & 0xFFFF == 0:
            continue
        if element.is_raw:
            yield from _raw(element, encoding)
            continue
        buffer.seek(0)
        buffer.parent.truncate()
        write_data_element(buffer, element, named_character_set)
        yield buffer.getvalue()


class _End:
    """Tells pydicom where the data set ends: at zeros, and behind the pixels at what may not follow them."""

    def __init__(self) -> None:
        self.is_reached = False
        self._after_pixels = False

    def __call__(self, tag: int, _representation: str | None, _length: int) -> bool:
        group = tag >> 16
        out_of_order = group < _AFTER_PIXELS[0] or (group % 2 == 0 and group not in _AFTER_PIXELS)
        self.is_reached = group == 0 or (self._after_pixels and out_of_order)
        self._after_pixels = self._after_pixels or tag in PIXEL_TAGS
        return self.is_reached


def _budget(size: int) -> Budget:
    return Budget(_MOST_PASSES * size, "a DICOM file holds more elements than are read", _MOST_READS)


def _settle(datasets: Iterable[Dataset], depth: int, budget: Budget) -> None:
    """Open the sequences that pydicom leaves for later, and check the lengths of values, however deep."""
    pending = [(dataset, depth) for dataset in datasets]
    while pending:
        dataset, depth = pending.pop()
        if depth > _DEEPEST:
            raise ReadError(f"sequences are nested more than {_DEEPEST} deep")
        for tag, element in list(dataset.items()):
            if tag >> 16 in _NO_ELEMENTS:
                del dataset[tag]
            elif element.is_raw:
                pending.extend((item, depth + 1) for item in _settled(dataset, element, budget))
            else:  # only sequences of undefined length are not raw
                pending.extend((item, depth + 1) for item in element.value)


def _settled(dataset: Dataset, element: RawDataElement, budget: Budget) -> Sequence[Dataset]:
    """The items of ``element`` after it was opened in place, if it is a sequence."""
    tag, value = element.tag, element.value or b""
    if element.length not in (len(value), UNDEFINED):
        raise ReadError(CUT_OFF)
    if element.VR == "SQ" or (element.VR in (None, "UN") and tag in _SEQUENCES):
        encoding = (element.is_implicit_VR, element.is_little_endian)
        items = _items(value, encoding, dataset.original_character_set, budget)
        dataset[tag] = DataElement(tag, "SQ", items, already_converted=True)
        return items
    if element.VR is None and not dataset.original_encoding[0]:
        dataset[tag]  # an implicit element among explicit ones cannot be written raw; asking for it converts it
    return ()


def _items(
    value: bytes, encoding: tuple[bool, bool], character_set: str | list[str], budget: Budget
) -> Sequence[Dataset]:
    stream = BoundedStream(io.BytesIO(value), len(value), budget)
    items: Sequence[Dataset] = read_sequence(stream, *encoding, len(value), character_set)
    return items


def _character_set(dataset: Dataset) -> str | list[str]:
    """Python's names of the character sets, as pydicom compares them."""
    if _CHARACTER_SET not in dataset:
        return str(default_encoding)
    encodings: list[str] = convert_encodings(dataset[_CHARACTER_SET].value)
    return encodings


def _raw(element: RawDataElement, encoding: tuple[bool, bool]) -> Iterator[bytes]:
    """A raw element as it was read (PS3.5 section 7.1)."""
    is_implicit, is_little_endian = encoding
    order = "<" if is_little_endian else ">"
    value = element.value or b""
    length = UNDEFINED if element.length == UNDEFINED else len(value)
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if is_implicit:
        yield struct.pack(order + "HHL", group, number, length)
    elif element.VR in EXPLICIT_VR_LENGTH_32:
        yield struct.pack(order + "HH2sHL", group, number, element.VR.encode(default_encoding), 0, length)
    else:
        yield struct.pack(order + "HH2sH", group, number, element.VR.encode(default_encoding), length)
    yield value
    if length == UNDEFINED:
        yield struct.pack(order + "HHL", *_DELIMITER)
