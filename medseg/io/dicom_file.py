"""A whole DICOM file: into memory within bounds, and back into bytes with file meta information of our own."""

from __future__ import annotations

import io
import re
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from medseg.core.errors import DeidError, ReadError
from medseg.core.files import atomic_file

from .dicom_elements import check_items, encoded_elements, quietly, read_elements
from .dicom_encoding import MAX_FRAME_PIXELS
from .dicom_header import (
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
from .limits import LARGEST_DECODED

IMPLEMENTATION_CLASS_UID = "2.25.11472874115205276528328217226077541604"
"""Says which software wrote a file (PS3.10 section 7.1); made once by chance, as PS3.5 section B.2 has it."""
IMPLEMENTATION_VERSION_NAME = "MEDSEG"
_LARGEST_FILE = 2**32
_IN_MEMORY = 2**26
_LONGEST_META = 2**24
_UID = re.compile(r"[0-9.]{1,64}")
_CLASS, _INSTANCE, _DIRECTORY = 0x00080016, 0x00080018, 0x00041220
_META_CLASS, _META_SYNTAX = 0x00020002, 0x00020010
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One file.

    Attributes:
        dataset: Without file meta information, commands and what follows its end; pixel data in memory.
        meta: The file meta information as the file had it, maybe empty.
        syntax: Transfer syntax UID of the data set as it now is: what was deflated is Explicit VR Little Endian.
        has_preamble_content: Whether any of the 128 bytes before the prefix is not zero.
    """

    dataset: Dataset = field(repr=False)
    meta: Dataset = field(repr=False)
    syntax: str
    has_preamble_content: bool


def read_dicom(path: Path) -> DicomFile | None:
    """The DICOM file at ``path``; None if it is none, or a DICOMDIR.

    Memory is bounded by a small multiple of the file; bytes after the end of the data set are dropped.

    Raises:
        ReadError: If it is cut off or damaged, larger than 4 GiB, nested more than 32 deep, made of millions of
            elements, or cannot be opened.
    """
    with parsing("a DICOM file"), quietly():
        if not stat.S_ISREG(path.stat().st_mode):
            raise ReadError("a folder, pipe or device is no DICOM file; only regular files are read")
        with path.open("rb") as file:
            return _read(file)


def check_sequence(raw_value: bytes) -> None:
    """Refuse the stored items of a sequence if opening them would take too long, or nest too deep.

    ``read_dicom`` has opened all sequences that are called so by the file or by the dictionary; this is for those in
    private elements of unknown representation.

    Raises:
        ReadError: If they are damaged, nested more than 32 deep, or made of millions of elements.
    """
    with parsing("a sequence"), quietly():
        check_items(raw_value)


def check_image_size(dataset: Dataset) -> None:
    """Refuse pixel data that is larger than allowed or not as long as its image, before it is decoded.

    A data set without pixel data passes. The length can only be told where it is not compressed.

    Raises:
        ReadError: If rows, columns, frames, samples and bits make no image, or one of more than 16 GiB or 2**26 pixels
            a frame, or if the pixel data is shorter than it, or longer by a frame.
    """
    tag = next((tag for tag in PIXEL_TAGS if tag in dataset), None)
    if tag is None:
        return
    with parsing("the size of an image"):
        rows, columns = _integer(dataset, 0x00280010, 0), _integer(dataset, 0x00280011, 0)
        frames, samples = _integer(dataset, 0x00280008, 1), _integer(dataset, 0x00280002, 1)
        bits = _FLOAT_BITS.get(tag) or _integer(dataset, 0x00280100, 0)
    image = f"{frames} frames of {rows} x {columns} pixels of {samples} x {bits} bits"
    if min(rows, columns, frames, samples, bits) < 1:
        raise ReadError(f"{image} make no image")
    needed = (rows * columns * frames * samples * bits + 7) // 8
    if rows * columns > MAX_FRAME_PIXELS or needed > LARGEST_DECODED:
        limit = f"{MAX_FRAME_PIXELS} pixels a frame and {LARGEST_DECODED >> 30} GiB"
        raise ReadError(f"{image} are more than the limit of {limit}")
    if "422" in _text(dataset, 0x00280004):
        needed = needed * 2 // 3  # two pixels share their colour (PS3.3 section C.7.6.3.1.2)
    length = _native_length(dataset, tag)
    if length is not None and not needed <= length < needed + max(2, needed // frames):
        raise ReadError(f"pixel data is {length} bytes, {image} are {needed}")


def encode_dicom(dataset: Dataset, syntax: str) -> bytes:
    """The data set as a DICOM file, with file meta information of our own and an empty preamble (PS3.10 section 7.1).

    What is still raw is written as it is, if ``syntax`` is as the data set was read; else all is converted.

    Args:
        dataset: Without file meta information.
        syntax: Transfer syntax UID to write it in, which its pixel data is in already; a data set in a private one is
            encoded as it was read.

    Raises:
        DeidError: If it names no SOP class or instance, or cannot be encoded.
    """
    if syntax == str(DeflatedExplicitVRLittleEndian) or not _UID.fullmatch(syntax):
        raise DeidError("a data set cannot be written in this transfer syntax; deflated ones are written inflated")
    head = file_head(_identifier(dataset, _CLASS, "class"), _identifier(dataset, _INSTANCE, "instance"), syntax)
    is_implicit, is_little_endian = _encoding(dataset, syntax)
    try:
        with quietly():
            elements = encoded_elements(dataset, is_implicit=is_implicit, is_little_endian=is_little_endian)
            return b"".join([head, *elements])
    except Exception as error:  # noqa: BLE001 - values that do not fit their representation raise anything
        raise DeidError(f"a data set cannot be encoded ({type(error).__name__})") from None


def file_head(sop_class: str, instance: str, syntax: str) -> bytes:
    """What stands before the data set: an empty preamble and file meta information of our own (PS3.10 table 7.1-1).

    Args:
        sop_class: SOP class UID.
        instance: SOP instance UID.
        syntax: Transfer syntax UID; all three of at most 64 digits and dots.
    """
    uids = {0x02: sop_class, 0x03: instance, 0x10: syntax, 0x12: IMPLEMENTATION_CLASS_UID}
    elements = struct.pack("<HH2sHL2s", 2, 1, b"OB", 0, 2, b"\0\1")
    elements += b"".join(_element(number, b"UI", uid.encode()) for number, uid in uids.items())
    elements += _element(0x13, b"SH", IMPLEMENTATION_VERSION_NAME.encode())
    return b"".join([bytes(128), b"DICM", _element(0, b"UL", struct.pack("<L", len(elements))), elements])


def write_dicom(dataset: Dataset, syntax: str, path: Path) -> None:
    """Write what ``encode_dicom`` makes, atomically.

    Raises:
        DeidError: As ``encode_dicom``.
        OutputError: If the file cannot be written.
    """
    content = encode_dicom(dataset, syntax)
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def _read(file: BinaryIO) -> DicomFile | None:
    size = file.seek(0, io.SEEK_END)
    start = start_of_elements(file)
    if start is None:
        return None
    if size > _LARGEST_FILE:
        raise ReadError(f"a DICOM file is {size / 2**30:.1f} GiB; at most {_LARGEST_FILE >> 30} GiB are read")
    file.seek(0)
    stream = io.BytesIO(file.read()) if size <= _IN_MEMORY else file
    has_preamble_content = start > 0 and any(stream.read(128))
    stream.seek(start)
    meta = read_meta(BoundedStream(stream, size, Budget(_LONGEST_META, "file meta information is too long")))
    if text(meta, _META_CLASS) == str(MediaStorageDirectoryStorage):
        return None
    syntax = text(meta, _META_SYNTAX) or guessed_syntax(stream)
    if not _UID.fullmatch(syntax):
        raise ReadError("a DICOM file names a transfer syntax that is no UID")
    if syntax == str(DeflatedExplicitVRLittleEndian):
        stream, syntax = open_inflated(stream, stream.tell()), str(ExplicitVRLittleEndian)
    dataset = read_elements(
        stream,
        is_implicit=syntax == str(ImplicitVRLittleEndian),
        is_little_endian=syntax != str(ExplicitVRBigEndian),
    )
    return None if _DIRECTORY in dataset else DicomFile(dataset, meta, _found(syntax, dataset), has_preamble_content)


def _found(syntax: str, dataset: Dataset) -> str:
    """The transfer syntax that the data set is encoded in, where its file says another."""
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit and not is_little_endian:
        raise ReadError("a DICOM file is big endian without value representations, which no transfer syntax is")
    if syntax in (str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)):
        return str(ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian)
    return syntax


def _integer(dataset: Dataset, tag: int, default: int) -> int:
    element = dataset.get_item(tag, keep_deferred=True)
    if element is None or element.is_raw:
        return integer(dataset, tag, default)
    return default if element.value in (None, "") else int(element.value)


def _text(dataset: Dataset, tag: int) -> str:
    element = dataset.get_item(tag, keep_deferred=True)
    return text(dataset, tag) if element is None or element.is_raw else str(element.value or "")


def _native_length(dataset: Dataset, tag: int) -> int | None:
    """Bytes of pixel data; None if it is encapsulated (PS3.5 section A.4)."""
    element = dataset.get_item(tag, keep_deferred=True)
    undefined = element.length == UNDEFINED if element.is_raw else element.is_undefined_length
    return None if undefined else len(element.value or b"")


def _identifier(dataset: Dataset, tag: int, what: str) -> str:
    uid = _text(dataset, tag).strip(" \0")
    if not _UID.fullmatch(uid):
        raise DeidError(f"a data set has no SOP {what} UID of at most 64 digits and dots")
    return uid


def _encoding(dataset: Dataset, syntax: str) -> tuple[bool, bool]:
    """Whether value representations are implicit, and whether numbers are little endian (PS3.5 section 10)."""
    uid = UID(syntax)
    if uid.is_transfer_syntax and not uid.is_private:
        return bool(uid.is_implicit_VR), bool(uid.is_little_endian)
    is_implicit, is_little_endian = dataset.original_encoding
    return bool(is_implicit), is_little_endian is not False


def _element(number: int, representation: bytes, value: bytes) -> bytes:
    padded = value + b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, representation, len(padded)) + padded
