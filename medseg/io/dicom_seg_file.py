"""A DICOM segmentation file: what it is, where its frames lie, and its frames one by one (PS3.3 section A.51)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.core.errors import GeometryError, ReadError, StudyError

from .dicom_encoding import DECODERS, MAX_FRAME_PIXELS, Encoding
from .dicom_file import read_dicom
from .dicom_header import (
    PIXEL_TAGS,
    Header,
    PixelElement,
    integer,
    items,
    numbers,
    open_inflated,
    parsing,
    read_header,
    text,
)
from .dicom_pixels import read_frames
from .dicom_seg_grid import FramePlanes
from .dicom_segments import Segments, read_segments, words

SEGMENTATION_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage; pydicom 3.0 has no name for it."""
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_POSITION_MACRO, _ORIENTATION_MACRO, _MEASURES_MACRO = 0x00209113, 0x00209116, 0x00289110
_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_THICKNESS, _BETWEEN = 0x00180050, 0x00180088
_SEGMENT_MACRO, _SEGMENT = 0x0062000A, 0x0062000B
_CLASS, _KIND, _LARGEST, _PADDING = 0x00080016, 0x00620001, 0x0062000E, 0x00280120
_SLIDE_SIGNS = (0x00480006, 0x00480007)
_SLIDE_MACRO = 0x0048021A
_ROWS, _COLUMNS, _FRAMES, _SAMPLES = 0x00280010, 0x00280011, 0x00280008, 0x00280002
_ALLOCATED, _STORED, _SIGN, _PHOTOMETRIC = 0x00280100, 0x00280101, 0x00280103, 0x00280004
_HEADER_TAGS = (_CLASS, _ROWS, _COLUMNS, _FRAMES, _SAMPLES, _ALLOCATED, _STORED, _SIGN, _PHOTOMETRIC)
_MOST_PIXELS = 2**34
_BITS = {"BINARY": (1, 8), "FRACTIONAL": (8,), "LABELMAP": (8, 16)}


class SegmentationForm(StrEnum):
    """How a segmentation is stored (PS3.3 section C.8.20.2.3)."""

    BINARY = "binary"
    FRACTIONAL = "fractional"
    LABELMAP = "labelmap"


@dataclass(frozen=True, eq=False)
class SegmentationFile:
    """What a segmentation file says, apart from its pixels.

    Attributes:
        path: Where it lies.
        form: What its pixels mean.
        encoding: How they are stored.
        segments: What it describes.
        planes: Where the frames lie.
        frame_segments: The number of each frame's segment; empty for a label map.
        padding: The pixel value that stands for nothing in a label map, besides 0.
        largest: The pixel value that stands for probability 1, in a fractional one.
    """

    path: Path = field(repr=False)
    form: SegmentationForm
    encoding: Encoding
    segments: Segments
    planes: FramePlanes
    frame_segments: tuple[int, ...]
    padding: int
    largest: int

    def frames(self) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
        """The pixels of each frame, shape ``(rows, columns)``.

        Raises:
            ReadError: If the pixel data is cut off, cannot be decoded, or is not of the size that the header says.
        """
        if self.encoding.bits_allocated == 1:
            return _bit_frames(self.path, self.encoding)
        return read_frames(self.path, self.encoding)  # type: ignore[return-value] # they are unsigned, as was checked


def is_segmentation(path: Path) -> bool:
    """Whether the file is a DICOM segmentation of any form, by its header.

    Raises:
        ReadError: If it is DICOM but cannot be parsed, or cannot be opened.
    """
    header = read_header(path, (_CLASS,))
    return header is not None and text(header.dataset, _CLASS) in (SEGMENTATION_CLASS, LABEL_MAP_CLASS)


def open_segmentation(path: Path) -> SegmentationFile:
    """What the file says, checked before any of its pixels are decoded.

    Raises:
        StudyError: If it is no segmentation, or one of a slide.
        GeometryError: If its frames have no place in the patient.
        LabelError: If its segments make no label scheme.
        ReadError: If it is damaged, contradicts itself, or is larger than the limits.
    """
    header = read_header(path, _HEADER_TAGS)
    if header is None or text(header.dataset, _CLASS) not in (SEGMENTATION_CLASS, LABEL_MAP_CLASS):
        raise StudyError("the file is no DICOM segmentation")
    whole = read_dicom(path)
    if whole is None or header.pixels is None:
        raise ReadError("a segmentation without pixel data")
    dataset = whole.dataset
    with parsing("a segmentation"):
        for tag in PIXEL_TAGS:
            dataset.pop(tag, None)
        _refuse_slides(dataset)
        form = _form(dataset)
        encoding = _encoding(header, header.pixels, form)
        shared, groups = _groups(dataset, encoding.frames)
        return SegmentationFile(
            path=path,
            form=form,
            encoding=encoding,
            segments=read_segments(dataset),
            planes=_planes(encoding, shared, groups),
            frame_segments=() if form is SegmentationForm.LABELMAP else _frame_segments(shared, groups),
            padding=next(iter(words(dataset, _PADDING)), 0),
            largest=integer(dataset, _LARGEST, 0),
        )


def _refuse_slides(dataset: Dataset) -> None:
    frames = items(dataset, _PER_FRAME)
    if any(tag in dataset for tag in _SLIDE_SIGNS) or (frames and _SLIDE_MACRO in frames[0]):
        raise StudyError("a segmentation of a slide in tiles; only those of images in the patient are read")


def _form(dataset: Dataset) -> SegmentationForm:
    said = text(dataset, _KIND)
    try:
        return SegmentationForm(said.lower())
    except ValueError:
        raise ReadError("a segmentation that is neither binary, fractional nor a label map") from None


def _encoding(header: Header, pixels: PixelElement, form: SegmentationForm) -> Encoding:
    dataset = header.dataset
    bits = integer(dataset, _ALLOCATED, 0)
    encoding = Encoding(
        rows=integer(dataset, _ROWS, 0),
        columns=integer(dataset, _COLUMNS, 0),
        frames=integer(dataset, _FRAMES, 1),
        bits_allocated=bits,
        bits_stored=integer(dataset, _STORED, bits),
        is_signed=integer(dataset, _SIGN, 0) == 1,
        is_inverted=False,
        is_big_endian=header.is_big_endian,
        syntax=header.syntax,
        element=pixels,
    )
    _check_values(dataset, encoding, form)
    _check_size(encoding)
    return encoding


def _check_values(dataset: Dataset, encoding: Encoding, form: SegmentationForm) -> None:
    allowed = _BITS[form.value.upper()]
    if encoding.bits_allocated not in allowed or not 1 <= encoding.bits_stored <= encoding.bits_allocated:
        raise ReadError(f"a {form} segmentation of {encoding.bits_allocated} bits; allowed are {allowed}")
    if encoding.is_signed or encoding.element.is_float or integer(dataset, _SAMPLES, 1) != 1:
        raise ReadError("a segmentation whose pixels are not single unsigned integers")
    if encoding.is_big_endian and encoding.bits_allocated < 16:
        raise ReadError("a segmentation of less than 16 bits in big endian words is not read")


def _check_size(encoding: Encoding) -> None:
    rows, columns, frames = encoding.rows, encoding.columns, encoding.frames
    if min(rows, columns, frames) < 1:
        raise ReadError(f"{rows} rows, {columns} columns and {frames} frames make no segmentation")
    pixels = rows * columns * frames
    if rows * columns > MAX_FRAME_PIXELS or pixels > _MOST_PIXELS:
        raise ReadError(f"{frames} frames of {rows} x {columns} pixels are more than the limit of {_MOST_PIXELS}")
    if encoding.element.length is None:
        if encoding.syntax not in DECODERS or encoding.bits_allocated == 1:
            raise ReadError("a segmentation in a transfer syntax that cannot be decoded, such as compressed bits")
        return
    needed, frame = -(-pixels * encoding.bits_allocated // 8), rows * columns * encoding.bits_allocated // 8
    stored = min(encoding.element.length, encoding.element.available)
    if encoding.syntax in DECODERS or not needed <= stored < needed + max(2, frame):
        raise ReadError(f"pixel data is {stored} bytes, {frames} frames of {rows} x {columns} pixels are {needed}")


def _groups(dataset: Dataset, frames: int) -> tuple[Dataset, list[Dataset]]:
    """The shared functional groups and those of each frame."""
    groups = items(dataset, _PER_FRAME)
    if len(groups) != frames:
        raise ReadError(f"{frames} frames, but functional groups for {len(groups)}")
    return next(iter(items(dataset, _SHARED)), Dataset()), groups


def _frame_segments(shared: Dataset, groups: list[Dataset]) -> tuple[int, ...]:
    everywhere = _value(shared, _SEGMENT_MACRO, _SEGMENT)
    found = [_value(group, _SEGMENT_MACRO, _SEGMENT) or everywhere for group in groups]
    if not all(found):
        raise ReadError(f"frame {found.index(()) + 1} does not say which segment it shows")
    return tuple(int(values[0]) for values in found)


def _planes(encoding: Encoding, shared: Dataset, groups: list[Dataset]) -> FramePlanes:
    return FramePlanes(
        rows=encoding.rows,
        columns=encoding.columns,
        positions=_table(shared, groups, _POSITION_MACRO, _POSITION, 3),
        orientations=_table(shared, groups, _ORIENTATION_MACRO, _ORIENTATION, 6),
        pixel_spacings=_table(shared, groups, _MEASURES_MACRO, _SPACING, 2),
        thickness=_length(shared, groups[0], _THICKNESS),
        distance=_length(shared, groups[0], _BETWEEN),
    )


def _table(shared: Dataset, groups: list[Dataset], macro: int, tag: int, size: int) -> NDArray[np.float64]:
    """What a macro says of each frame, shape ``(frames, size)``."""
    everywhere = _value(shared, macro, tag)
    rows = [_value(group, macro, tag) or everywhere for group in groups]
    if any(len(row) != size for row in rows):
        raise GeometryError("a segmentation without position, orientation and pixel spacing in the patient")
    return np.array(rows, dtype=np.float64)


def _length(shared: Dataset, first: Dataset, tag: int) -> float | None:
    """A positive length of the pixel measures, which some write with a sign; None if it is not said."""
    values = _value(shared, _MEASURES_MACRO, tag) or _value(first, _MEASURES_MACRO, tag)
    return abs(values[0]) or None if values else None


def _value(group: Dataset, macro: int, tag: int) -> tuple[float, ...]:
    """Numbers in a functional group's macro (PS3.3 section C.7.6.16)."""
    found = items(group, macro)
    return numbers(found[0], tag) if found else ()


def _bit_frames(path: Path, encoding: Encoding) -> Iterator[NDArray[np.uint8]]:
    """Frames of one bit a pixel, which follow each other without padding (PS3.5 section 8.1.1)."""
    pixels = encoding.rows * encoding.columns
    with parsing("pixel data"), path.open("rb") as file:
        start = encoding.element.deflated_at
        stream = file if start is None else open_inflated(file, start)
        for frame in range(encoding.frames):
            first, before = divmod(frame * pixels, 8)
            stream.seek(encoding.element.offset + first)
            packed = np.frombuffer(stream.read(-(-(before + pixels) // 8)), np.uint8)
            bits = np.unpackbits(packed, count=before + pixels, bitorder="little")[before:]
            yield bits.reshape(encoding.rows, encoding.columns)
