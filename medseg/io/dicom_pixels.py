"""Pixels of DICOM files: stored values out of the file, modality values out of stored values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import UID, RLELossless

from medseg.core.errors import ReadError

from .dicom_codestream import frame_header
from .dicom_encoding import DECODERS, Encoding
from .dicom_header import open_inflated, parsing

Stored = NDArray[np.integer[Any]]
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_RLE_WORST, _RLE_SLACK = 2, 1024
_INT16 = np.iinfo(np.int16)


def stored_type(encoding: Encoding) -> np.dtype[np.integer[Any]]:
    """Type of the stored values, in the machine's byte order."""
    return np.dtype(f"{'i' if encoding.is_signed else 'u'}{encoding.bits_allocated // 8}")


def read_frames(path: Path, encoding: Encoding) -> Iterator[Stored]:
    """The stored values of each frame, shape ``(rows, columns)``, turned round where ``encoding.is_inverted``.

    Raises:
        ReadError: If the pixel data is cut off, cannot be decoded, or is not of the size that the header says.
    """
    with parsing("pixel data"), path.open("rb") as file:
        start = encoding.element.deflated_at
        stream = file if start is None else open_inflated(file, start)
        stream.seek(encoding.element.offset)
        compressed = encoding.syntax in DECODERS
        for frame in _decoded(stream, encoding) if compressed else _native(stream, encoding):
            yield _inverted(frame, encoding) if encoding.is_inverted else frame


def rescaled(stored: Stored, slopes: NDArray[np.float64], intercepts: NDArray[np.float64]) -> NDArray[np.generic]:
    """Modality values: stored values times slope plus intercept, slice by slice (PS3.3 section C.11.1).

    PixelPaddingValue is left as it is: which values mean nothing is for normalisation to say, not for reading.

    Args:
        stored: Shape ``(slices, rows, columns)``; may be overwritten.
        slopes: One a slice.
        intercepts: One a slice.

    Returns:
        int16 if every value is exact in it, else float32.
    """
    if _fits_int16(stored, slopes, intercepts):
        return _rescaled_int16(stored, slopes, intercepts)
    values = np.empty(stored.shape, dtype=np.float32)
    for index, (slope, intercept) in enumerate(zip(slopes.tolist(), intercepts.tolist(), strict=True)):
        values[index] = stored[index] * np.float64(slope) + intercept
    return values


def _native(stream: BinaryIO, encoding: Encoding) -> Iterator[Stored]:
    native = stored_type(encoding)
    stored = native.newbyteorder(">" if encoding.is_big_endian else "<")
    for _ in range(encoding.frames):
        frame = np.frombuffer(stream.read(encoding.frame_bytes), stored).reshape(encoding.rows, encoding.columns)
        yield _significant(frame.astype(native, copy=False), encoding)


def _decoded(stream: BinaryIO, encoding: Encoding) -> Iterator[Stored]:
    decoder = get_decoder(UID(encoding.syntax))
    found = 0
    content = stream.read()
    _check_fragments(content)
    compressed = generate_frames(content, number_of_frames=encoding.frames)
    for found, frame in zip(range(1, encoding.frames + 1), compressed, strict=False):  # noqa: B007 - counted below
        _check_frame(frame, encoding)
        array, _ = decoder.as_array(
            encapsulate([frame], has_bot=False),
            index=0,
            raw=True,
            decoding_plugin=DECODERS[encoding.syntax],
            rows=encoding.rows,
            columns=encoding.columns,
            number_of_frames=1,
            samples_per_pixel=1,
            photometric_interpretation="MONOCHROME2",
            pixel_representation=int(encoding.is_signed),
            bits_allocated=encoding.bits_allocated,
            bits_stored=encoding.bits_stored,
            pixel_keyword="PixelData",
        )
        decoded = array.astype(stored_type(encoding), copy=False)
        yield _significant(decoded, encoding) if encoding.syntax == str(RLELossless) else decoded
    if found < encoding.frames:
        raise ReadError(f"pixel data holds {found} of {encoding.frames} frames")


def _check_fragments(content: bytes) -> None:
    """Refuse encapsulated pixel data that does not reach its end (PS3.5 section A.4)."""
    position = 0
    while content[position : position + 4] != _DELIMITER:
        end = position + 8 + int.from_bytes(content[position + 4 : position + 8], "little")
        if content[position : position + 4] != _ITEM or end > len(content):
            raise ReadError("compressed pixel data is cut off")
        position = end


def _check_frame(frame: bytes, encoding: Encoding) -> None:
    """Refuse a frame whose own header asks for other memory than the data set says."""
    if encoding.syntax == str(RLELossless):
        if len(frame) > _RLE_WORST * encoding.frame_bytes + _RLE_SLACK:
            raise ReadError("a run-length frame is longer than its pixels can be")
        return
    header = frame_header(frame)
    if header is None:
        raise ReadError("a compressed frame is damaged")
    if (header.rows, header.columns, header.samples) != (encoding.rows, encoding.columns, 1):
        raise ReadError(
            f"a compressed frame is {header.columns} x {header.rows} x {header.samples}, "
            f"its data set says {encoding.columns} x {encoding.rows} x 1"
        )
    if header.precision > encoding.bits_allocated:
        raise ReadError(f"a compressed frame has {header.precision} bits, allocated are {encoding.bits_allocated}")


def _significant(frame: Stored, encoding: Encoding) -> Stored:
    """The frame without what lies above BitsStored, such as old overlays (PS3.5 section 8.1.1)."""
    unused = encoding.bits_allocated - encoding.bits_stored
    return (frame << unused) >> unused if unused else frame


def _inverted(frame: Stored, encoding: Encoding) -> Stored:
    """0 becomes the highest value that BitsStored can hold, and the other way round."""
    return _significant(~frame, encoding)


def _fits_int16(stored: Stored, slopes: NDArray[np.float64], intercepts: NDArray[np.float64]) -> bool:
    if (slopes % 1).any() or (intercepts % 1).any():
        return False
    for slope, intercept in {*zip(slopes.tolist(), intercepts.tolist(), strict=True)}:
        same = (slopes == slope) & (intercepts == intercept)
        part = stored if same.all() else stored[same]
        extremes = [float(part.min()) * slope + intercept, float(part.max()) * slope + intercept]
        if min(extremes) < _INT16.min or max(extremes) > _INT16.max:
            return False
    return True


def _rescaled_int16(stored: Stored, slopes: NDArray[np.float64], intercepts: NDArray[np.float64]) -> NDArray[np.int16]:
    """Modulo 65536, which is exact because the results fit; 16-bit values are rescaled where they lie."""
    values = stored.view(np.int16) if stored.dtype.itemsize == 2 else stored.astype(np.int16)
    factors, terms = (numbers.astype(np.int64).astype(np.int16) for numbers in (slopes, intercepts))
    for index in range(len(values)):
        if factors[index] != 1:
            values[index] *= factors[index]
        if terms[index] != 0:
            values[index] += terms[index]
    return values
