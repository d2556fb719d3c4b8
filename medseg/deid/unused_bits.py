"""Bits of the pixel cells that belong to no pixel, and bytes beside the pixels: old overlays and comments hide there.

PS3.5 section 8.1.1 leaves the bits outside of Bits Stored without a meaning. Until 2004 overlay planes were kept there,
and whoever removes the attributes of group 60xx does not remove their bits.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from medseg.core.errors import ReadError

from .coded_frames import with_bare_frames
from .elements import stored, with_value
from .header_values import figure, word, words
from .pixel_frames import NATIVE, read_frames, shallow_copy, with_frames

if TYPE_CHECKING:
    from medseg.io.dicom_file import DicomFile

Cells: TypeAlias = NDArray[np.unsignedinteger[Any]]
_PIXELS, _IMAGE_TYPE = 0x7FE00010, 0x00080008
_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _PHOTOMETRIC = 0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280004
_ALLOCATED, _STORED, _HIGH, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_OVERLAY_BIT = 0x60000102


def without_unused_bits(file: DicomFile) -> DicomFile:
    """The object without bits and bytes in its pixel data that are not of the pixels; the same object if it has none.

    Compressed pixels are decoded for this only if an overlay says that it lies in them, or if their frames cannot be
    taken apart.

    Raises:
        ReadError: If an element that describes the pixels is no number, there are more compressed frames than the data
            set says, or if they have to be decoded and cannot.
    """
    dataset, syntax = file.dataset, str(file.syntax)
    if _PIXELS not in dataset:
        return file
    if syntax not in NATIVE:
        return _without_hidden_parts(file)
    element = dataset.get_item(_PIXELS)
    content = stored(dataset, element)
    cleaned = _without_hidden_bits(dataset, content, ">" if syntax == str(ExplicitVRBigEndian) else "<")
    if cleaned is content:
        return file
    dataset = shallow_copy(dataset)
    dataset[_PIXELS] = with_value(dataset, element, cleaned, element.VR or "OW")
    return replace(file, dataset=dataset)


def has_embedded_overlay(dataset: Dataset) -> bool:
    """Whether an overlay says that it lies in the bits of the pixel data (PS3.3 section C.9.2, before 2004)."""
    return any(figure(dataset, _OVERLAY_BIT | group << 16, 0) > 0 for group in range(0, 0x20, 2))


def _without_hidden_parts(file: DicomFile) -> DicomFile:
    if not has_embedded_overlay(file.dataset):
        with contextlib.suppress(ReadError):
            return with_bare_frames(file)
    return _decompressed(file)


def _decompressed(file: DicomFile) -> DicomFile:
    kinds = words(file.dataset, _IMAGE_TYPE)
    return with_frames(file, read_frames(file), kinds or ("ORIGINAL", "PRIMARY"))


def _without_hidden_bits(dataset: Dataset, content: bytes, order: str) -> bytes:
    """Native pixel data without bytes behind the last pixel and bits outside of Bits Stored; the same if it has none.

    Bits above a signed value may repeat its sign or be zero. Pixel data whose header contradicts itself stays as it is.
    """
    allocated, used = figure(dataset, _ALLOCATED, 0), figure(dataset, _STORED, 0)
    needed = _needed_bytes(dataset, allocated)
    if not 0 < needed <= len(content):
        return content
    content = content if len(content) == needed + needed % 2 else _padded(content[:needed])
    high = figure(dataset, _HIGH, used - 1)
    is_full = used == allocated or (allocated == 8 and order == ">")  # swapped pairs; no overlay fits into 8 bits
    if is_full or allocated not in (8, 16, 32) or not 0 < used <= high + 1 <= allocated:
        return content
    cells = np.frombuffer(content, f"{order}u{allocated // 8}", count=needed * 8 // allocated)
    cleaned = _cleaned(cells, allocated, (high + 1 - used, high), is_signed=figure(dataset, _SIGNED, 0) == 1)
    return content if cleaned is cells else _padded(cleaned.astype(cells.dtype).tobytes())


def _needed_bytes(dataset: Dataset, allocated: int) -> int:
    samples, frames = figure(dataset, _SAMPLES, 1), figure(dataset, _FRAMES, 1)
    if "422" in word(dataset, _PHOTOMETRIC):
        samples = 2  # two pixels share their colour (PS3.3 section C.7.6.3.1.2)
    bits = figure(dataset, _ROWS, 0) * figure(dataset, _COLUMNS, 0) * samples * frames * allocated
    return (bits + 7) // 8


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (len(content) % 2)


def _cleaned(cells: Cells, allocated: int, used: tuple[int, int], *, is_signed: bool) -> Cells:
    """The cells with nothing outside of the used bits but a repeated sign; the same array if that is so already."""
    low, high = used
    mask = np.array(((1 << (high - low + 1)) - 1) << low, dtype=cells.dtype)
    values = cells & mask
    if np.array_equal(values, cells):
        return cells
    if not is_signed or low > 0:
        return values
    unused = allocated - high - 1
    native = cells.astype(cells.dtype.newbyteorder("="))
    extended = ((native << unused).view(f"i{allocated // 8}") >> unused).view(native.dtype)
    return cells if np.array_equal(extended, native) else extended
