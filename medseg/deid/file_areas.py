"""Where text may stand in a file, and where the values of pixels and voxels lie, in which letters come by chance."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from medseg.core.errors import MedsegError
from medseg.io.dicom_elements import quietly, read_elements
from medseg.io.dicom_header import (
    PIXEL_TAGS,
    UNDEFINED,
    BoundedStream,
    Budget,
    guessed_syntax,
    integer,
    open_inflated,
    parsing,
    read_meta,
    start_of_elements,
    text,
)
from medseg.io.limits import decoding_unnamed
from medseg.io.meta_image import is_meta_image
from medseg.io.nifti import is_nifti, nifti_header, nifti_voxel_offset
from medseg.io.nrrd import is_nrrd

from .bids_names import bids_keys

_SYNTAX = 0x00020010
_SIZE_TAGS = (0x00280010, 0x00280011, 0x00280002, 0x00280100)
_FRAMES = 0x00280008
_GZIP, _GZIP_HEAD = b"\x1f\x8b", 1024
_PIECE, _PIECE_OVERLAP = 2**25, 2**10
_ITEM = b"\xfe\xff\x00\xe0"
_JPEG, _JPEG_SCAN = b"\xff\xd8", 0xDA
_J2K_TILE = b"\xff\x90"
_LONGEST_CODE_HEADER = 2**16
_META_IMAGE_END = re.compile(rb"^\s*ElementDataFile\s*[=:][^\n]*\n", re.MULTILINE)
_NRRD_END = re.compile(rb"\r?\n\r?\n")
_HEAD = 2**20
_GAP = bytes(8)


@dataclass(frozen=True, eq=False)
class Area:
    """A span of bytes.

    Attributes:
        data: What it is a span of.
        start: First byte.
        stop: Byte after the last.
        is_values: Whether it holds pixels, voxels or coded ones, instead of text.
    """

    data: bytes
    start: int
    stop: int
    is_values: bool


@dataclass(frozen=True, eq=False)
class DicomBytes:
    """A DICOM file taken apart.

    Attributes:
        data: The file; inflated from where the data set begins, if it was deflated.
        dataset: Its data set.
        start: Where the data set begins.
        pixels: Spans of pixel values in the data.
    """

    data: bytes = field(repr=False)
    dataset: Dataset = field(repr=False)
    start: int
    pixels: tuple[tuple[int, int], ...]

    def areas(self) -> Iterator[Area]:
        """The whole file in its order."""
        yield from _alternating(self.data, self.pixels)


def dicom_bytes(data: bytes) -> DicomBytes | None:
    """A DICOM file taken apart; None if it is none.

    Raises:
        ReadError: If it is damaged.
    """
    stream: BinaryIO = io.BytesIO(data)
    with parsing("a DICOM file"), quietly():
        start = start_of_elements(stream)
        if start is None:
            return None
        stream.seek(start)
        meta = read_meta(BoundedStream(stream, len(data), Budget(_HEAD, "file meta information is too long")))
        syntax = text(meta, _SYNTAX) or guessed_syntax(stream)
        start = stream.tell()
        if syntax == str(DeflatedExplicitVRLittleEndian):
            data = data[:start] + open_inflated(stream, start).read()
            stream = io.BytesIO(data)
            stream.seek(start)
        is_implicit, is_big_endian = syntax == str(ImplicitVRLittleEndian), syntax == str(ExplicitVRBigEndian)
        dataset = read_elements(stream, is_implicit=is_implicit, is_little_endian=not is_big_endian)
        return DicomBytes(data, dataset, start, tuple(_pixels(dataset)))


def areas_of(data: bytes) -> Iterator[Area]:
    """The areas of a file that is not DICOM: NIfTI, NRRD and MHA by their headers; of any other, all is text.

    A gzipped file comes unpacked, in parts that overlap; the header of gzip, which may name a file, comes first.

    Raises:
        ReadError: If it is damaged.
    """
    if data.startswith(_GZIP):
        yield Area(data, 0, min(len(data), _GZIP_HEAD), is_values=False)
        with decoding_unnamed():
            yield from _unpacked_areas(data)
    else:
        yield from _alternating(data, [(_values_start(data), len(data))])


def free_texts(data: bytes) -> bytes | None:
    """Texts of a JSON file that are not of technical keys, with zeros between them; None if it is no JSON file."""
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        return _GAP.join(text.encode("utf-8", "surrogatepass") for text in _free_texts("", json.loads(data)))
    except (ValueError, RecursionError):
        return None


def _free_texts(key: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for inner, entry in value.items():
            yield from _free_texts(str(inner), entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _free_texts(key, entry)
    elif isinstance(value, str) and bids_keys().get(key) != "technical":
        yield value


def _unpacked_areas(data: bytes) -> Iterator[Area]:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        piece = stream.read(_PIECE)
        start = _values_start(piece)
        yield from _alternating(piece, [(start, len(piece))])
        while more := stream.read(_PIECE):
            piece = piece[-_PIECE_OVERLAP:] + more
            yield Area(piece, 0, len(piece), is_values=start < _PIECE)


def _values_start(data: bytes) -> int:
    """Where voxels begin; the end if there are none."""
    if is_nifti(data[:540]):
        try:
            return nifti_voxel_offset(nifti_header(data[:540]))
        except MedsegError:  # the header of a pair, whose voxels lie in another file
            return len(data)
    pattern = _NRRD_END if is_nrrd(data[:16]) else _META_IMAGE_END if is_meta_image(data[:4096]) else None
    end = pattern.search(data, 0, _HEAD) if pattern else None
    return end.end() if end else len(data)


def _alternating(data: bytes, values: Iterable[tuple[int, int]]) -> Iterator[Area]:
    """Text and values in turns."""
    position = 0
    for start, stop in values:
        yield Area(data, position, start, is_values=False)
        yield Area(data, start, stop, is_values=True)
        position = stop
    yield Area(data, position, len(data), is_values=False)


def _pixels(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Spans of pixel values; what a pixel element holds beyond its image, or beside its codes, is text."""
    for tag in PIXEL_TAGS:
        element = dataset.get_item(tag, keep_deferred=True) if tag in dataset else None
        if not isinstance(element, RawDataElement) or not element.value:
            continue
        if element.length == UNDEFINED:
            yield from _codes(element.value, element.value_tell)
        else:
            yield element.value_tell, element.value_tell + min(len(element.value), _image_size(dataset, element))


def _image_size(dataset: Dataset, element: RawDataElement) -> int:
    size = max(1, integer(dataset, _FRAMES, 1))
    for tag in _SIZE_TAGS:
        size *= integer(dataset, tag, 0)
    return size // 8 if element.tag == PIXEL_TAGS[2] else len(element.value)


def _codes(value: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """The coded pixels of each fragment (PS3.5 section A.4), without headers, which may hold comments."""
    position = 0
    while value[position : position + 4] == _ITEM:
        (length,) = struct.unpack_from("<L", value, position + 4)
        position += 8
        header = _code_header(value[position : position + min(length, _LONGEST_CODE_HEADER)])
        yield offset + position + header, offset + position + length
        position += length


def _code_header(fragment: bytes) -> int:
    """Bytes before the coded pixels of a JPEG, JPEG-LS or JPEG 2000 fragment; 0 for other fragments."""
    if fragment[:2] != _JPEG:
        return max(0, fragment.find(_J2K_TILE)) if fragment[:2] == b"\xff\x4f" else 0
    position = 2
    while fragment[position : position + 1] == b"\xff" and position + 4 <= len(fragment):
        marker, length = fragment[position + 1], int.from_bytes(fragment[position + 2 : position + 4], "big")
        position += 2 + length
        if marker == _JPEG_SCAN:
            return position
    return 0
