"""The header of one DICOM file: read within bounds, as plain text and numbers, without the pixels.

Values are decoded here rather than by pydicom's value classes: those warn with the value in the message, and cost
more than the rest of the reading.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from medseg.core.errors import MedsegError, ReadError

from .dicom_charsets import decoded
from .dicom_walk import PIXEL_TAGS as PIXEL_TAGS  # noqa: PLC0414 - belongs to this module too
from .dicom_walk import UNDEFINED as UNDEFINED  # noqa: PLC0414
from .dicom_walk import base_tag, walked_header

_MAX_HEADER_BYTES = 2**26
_USUAL_READ = 2**7
CUT_OFF = "a DICOM file ends inside an element"
_SMALL_READ = 2**16
_MIN_INFLATED = 2**24
_MAX_INFLATED = 2**29
_MAX_RATIO = 100
_PIXEL_DATA = 0x7FE00010
_LONGEST_KEPT = 256
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN")
_NUMBER_TYPES = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8"}


@dataclass(frozen=True)
class PixelElement:
    """Where the value of Pixel Data lies.

    Attributes:
        offset: Of its first byte, in the file, or in the inflated data set where the file is deflated.
        length: In bytes; None if encapsulated (PS3.5 section A.4).
        available: Bytes from ``offset`` to the end.
        deflated_at: Where in the file the deflated data set begins; None if it is not deflated.
        is_float: Whether it is Float or Double Float Pixel Data.
    """

    offset: int
    length: int | None
    available: int
    deflated_at: int | None
    is_float: bool


@dataclass(frozen=True, eq=False)
class Header:
    """The asked elements of one file, its transfer syntax and its pixel element, if there is one."""

    dataset: Dataset
    syntax: str
    pixels: PixelElement | None

    @property
    def is_big_endian(self) -> bool:
        """Whether numbers are stored most significant byte first."""
        return self.syntax == str(ExplicitVRBigEndian)


def read_header(path: Path, tags: tuple[int, ...]) -> Header | None:
    """The elements ``tags`` of a DICOM file; None if it is no DICOM file, or a DICOMDIR.

    Args:
        path: A regular file, with or without the preamble of PS3.10.
        tags: Elements to keep; those of the top level that are not among them are skipped unread. If there are none,
            all are read.

    Raises:
        ReadError: If the file is DICOM but cannot be parsed within the limits.
    """
    with parsing(), path.open("rb") as file:
        walked = _walked(file, tags) if tags else None
        return walked or _parsed(file, tags)


def read_first(path: Path, tags: tuple[int, ...]) -> Dataset | None:
    """The elements ``tags``, without reading on after the last of them.

    None and errors as ``read_header``; a file after whose last element of them nothing comes is cut off.
    """
    last = max(tags)
    beyond: list[int] = []

    def is_beyond(tag: int, _representation: str | None, _length: int) -> bool:
        if tag > last:
            beyond.append(tag)
        return tag > last

    with parsing(), path.open("rb") as file:
        opened = _open(file, tags, is_beyond)
        if opened is None:
            return None
        if not beyond:
            raise ReadError(CUT_OFF)
        return opened.dataset


@contextlib.contextmanager
def parsing(what: str = "a DICOM header") -> Iterator[None]:
    """Turns whatever a parser throws at a damaged or hostile file into a ReadError that quotes nothing of it."""
    try:
        yield
    except MedsegError:
        raise
    except OSError as error:
        hidden = _hidden(error)
        if isinstance(hidden, MedsegError):
            raise hidden from None
        if hidden is not None:
            raise ReadError(f"{what} cannot be read (RecursionError)") from None
        raise ReadError(f"a file cannot be read ({error.strerror or 'damaged'})") from None
    except Exception as error:  # noqa: BLE001 - a hostile file may raise anything, RecursionError and MemoryError too
        raise ReadError(f"{what} cannot be read ({type(error).__name__})") from None


def _hidden(error: OSError) -> BaseException | None:
    """What pydicom, which makes an OSError of all that is raised in the head of an item, has hidden; level by level."""
    hidden = error.__context__
    while isinstance(hidden, OSError):
        hidden = hidden.__context__
    return hidden if isinstance(hidden, MedsegError | RecursionError) else None


def open_inflated(file: BinaryIO, start: int) -> BinaryIO:
    """The deflated data set that begins at ``start``, inflated in memory (PS3.5 section A.5).

    Raises:
        ReadError: If it grows past 512 MiB, or past 16 MiB and a hundred times its size.
    """
    if file.seek(0, io.SEEK_END) - start > _MAX_INFLATED:
        raise ReadError(f"a deflated DICOM file is larger than the limit of {_MAX_INFLATED >> 20} MiB")
    file.seek(start)
    packed = file.read()
    limit = min(_MAX_INFLATED, max(_MIN_INFLATED, _MAX_RATIO * len(packed)))
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limit + 1)
    if len(inflated) > limit:
        raise ReadError(f"a deflated DICOM file grows past the limit of {limit >> 20} MiB")
    return io.BytesIO(inflated)


def text(dataset: Dataset, tag: int) -> str:
    """The element as printable text, backslashes between its values; empty if absent."""
    element = dataset.get_item(base_tag(tag), keep_deferred=True)
    if element is None or not isinstance(element.value, bytes):
        return ""
    encodings = dataset.original_character_set or "iso8859"
    words = decoded(element.value, (encodings,) if isinstance(encodings, str) else encodings).rstrip("\0")
    if not words.isprintable():
        words = "".join(letter for letter in words if letter.isprintable())
    return words.strip()


def numbers(dataset: Dataset, tag: int) -> tuple[float, ...]:
    """The element's numbers; empty if absent.

    Raises:
        ReadError: If a value is no finite number.
    """
    element = dataset.get_item(base_tag(tag), keep_deferred=True)
    if element is None or not isinstance(element.value, bytes) or not element.value:
        return ()
    representation = element.VR if element.VR not in (None, "UN") else dictionary_VR(tag)
    parse = _parsed_numbers if len(element.value) <= _LONGEST_KEPT else _parsed_numbers.__wrapped__
    values: tuple[float, ...] = parse(element.value, representation, "<" if element.is_little_endian else ">")
    if not all(map(math.isfinite, values)):
        raise ReadError(f"{keyword_for_tag(tag)} is not a number")
    return values


@lru_cache(maxsize=1024)
def _parsed_numbers(value: bytes, representation: str, order: str) -> tuple[float, ...]:
    """Numbers out of their bytes, which are the same in most files of a series; NaN if they are none."""
    try:
        if representation in _NUMBER_TYPES:
            stored = np.frombuffer(value, order + _NUMBER_TYPES[representation])
            return tuple(stored.astype(np.float64).tolist())
        return tuple(map(float, value.decode("ascii").strip(" \0").split("\\")))
    except ValueError:
        return (math.nan,)


def integer(dataset: Dataset, tag: int, default: int) -> int:
    """The element's first number as an integer; ``default`` if absent."""
    values = numbers(dataset, tag)
    return int(values[0]) if values else default


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """The items of a sequence; empty if absent."""
    return list(dataset[tag].value) if tag in dataset else []


class Budget:
    """What may still be read, which streams may share: so many bytes, in so many pieces."""

    def __init__(self, most_bytes: int, refusal: str, most_reads: int | None = None) -> None:
        self._bytes = most_bytes
        self._reads = most_bytes // _USUAL_READ if most_reads is None else most_reads
        self._refusal = refusal

    def spend(self, size: int) -> None:
        """Take a read of ``size`` bytes away.

        Raises:
            ReadError: With the refusal, if that is more than is left.
        """
        self._bytes -= size
        self._reads -= 1
        if self._bytes < 0 or self._reads < 0:
            raise ReadError(self._refusal)


class BoundedStream:
    """What pydicom needs of a file, with a budget for what it reads.

    Reads are counted too, so that a file of millions of empty elements ends; what is skipped is free.
    """

    def __init__(self, stream: BinaryIO, size: int, budget: Budget) -> None:
        self._stream = stream
        self._size = size
        self._budget = budget
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes.

        Raises:
            ReadError: If the budget is spent, or a long value reaches past the end.
        """
        self._budget.spend(min(size, self._size))
        if size > _SMALL_READ and size > self._size - self.tell():
            raise ReadError(CUT_OFF)
        return self._stream.read(size)

    @property
    def name(self) -> str:
        """Not there: pydicom asks for it only to warn that a value without a length has no end, an error here."""
        raise ReadError(CUT_OFF)


@dataclass(frozen=True, eq=False)
class _Opened:
    """What was read of a file, and where its stream, inflated if need be, stands."""

    dataset: Dataset
    syntax: str
    stream: BinaryIO
    size: int
    deflated_at: int | None


def _walked(file: BinaryIO, tags: tuple[int, ...]) -> Header | None:
    """The header if it is plain; None leaves it to the parser."""
    size = file.seek(0, io.SEEK_END)
    walked = walked_header(file, size, frozenset(tags))
    if walked is None:
        return None
    dataset = Dataset(walked.elements)
    dataset.set_original_encoding(walked.is_implicit, True, walked.encodings)
    pixels = None if walked.pixels is None else _element_at(*walked.pixels, size, None)
    return Header(dataset, walked.syntax, pixels)


def _parsed(file: BinaryIO, tags: tuple[int, ...]) -> Header | None:
    opened = _open(file, tags, _at_pixels)
    if opened is None:
        return None
    pixels = _pixel_element(opened.stream, opened.size, opened.dataset, opened.deflated_at)
    return Header(opened.dataset, opened.syntax, pixels)


def _open(file: BinaryIO, tags: tuple[int, ...], stop_when: Callable[[int, str | None, int], bool]) -> _Opened | None:
    size = file.seek(0, io.SEEK_END)
    start = start_of_elements(file)
    if start is None:
        return None
    file.seek(start)
    budget = Budget(_MAX_HEADER_BYTES, f"a DICOM header is longer than {_MAX_HEADER_BYTES >> 20} MiB")
    meta = read_meta(BoundedStream(file, size, budget))
    if text(meta, 0x00020002) == str(MediaStorageDirectoryStorage):
        return None
    syntax = text(meta, 0x00020010) or guessed_syntax(file)
    stream, deflated_at = file, None
    if syntax == str(DeflatedExplicitVRLittleEndian):
        deflated_at = file.tell()
        stream = open_inflated(file, deflated_at)
        size = len(stream.getbuffer()) if isinstance(stream, io.BytesIO) else size
    implicit = syntax == str(ImplicitVRLittleEndian)
    bounded = BoundedStream(stream, size, budget)
    dataset = read_dataset(
        bounded, implicit, syntax != str(ExplicitVRBigEndian), stop_when=stop_when, specific_tags=list(tags)
    )
    return _Opened(dataset, syntax, stream, size, deflated_at)


def start_of_elements(file: BinaryIO) -> int | None:
    """Where the elements begin: after the preamble, or at once if it looks like a bare data set; None if it is neither.

    Leaves the position anywhere.
    """
    file.seek(0)
    head = file.read(132)
    if head[128:] == b"DICM":
        return 132
    if len(head) < 16 or (head[:2] not in (b"\x02\x00", b"\x08\x00") and head[:3] != b"\x00\x08\x00"):
        return None
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return 0 if explicit or int.from_bytes(head[4:8], "little") < _SMALL_READ else None


def read_meta(stream: BoundedStream) -> Dataset:
    """The file meta information, which may be empty; leaves the position behind it (PS3.10 section 7.1)."""
    return read_dataset(stream, False, True, stop_when=_after_meta)


def guessed_syntax(file: BinaryIO) -> str:
    """Transfer syntax by the look of the first element, for files that do not say (PS3.5 section A)."""
    head = file.read(6)
    file.seek(-len(head), io.SEEK_CUR)
    if not (head[4:6].isalpha() and head[4:6].isupper()):
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRBigEndian if head[0] == 0 else ExplicitVRLittleEndian)


def _after_meta(tag: int, _representation: str | None, _length: int) -> bool:
    return tag >> 16 != 2


def _at_pixels(tag: int, _representation: str | None, _length: int) -> bool:
    return tag in PIXEL_TAGS


def _pixel_element(stream: BinaryIO, size: int, dataset: Dataset, deflated_at: int | None) -> PixelElement | None:
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    head = stream.read(8)
    if len(head) < 8:
        return None
    group, element = struct.unpack(order + "HH", head[:4])
    tag = group << 16 | element
    if tag not in PIXEL_TAGS:
        return None
    if not implicit and head[4:6] in _LONG_VRS:
        head = b"\0\0\0\0" + stream.read(4)
    (length,) = struct.unpack(order + "L", head[4:8])
    return _element_at(tag, stream.tell(), length, size, deflated_at)


def _element_at(tag: int, offset: int, length: int, size: int, deflated_at: int | None) -> PixelElement:
    available = max(0, size - offset)
    return PixelElement(offset, None if length == UNDEFINED else length, available, deflated_at, tag != _PIXEL_DATA)
