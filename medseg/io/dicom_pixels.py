"""Pixels of DICOM files: stored values out of the file, modality values out of stored values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
Slice = NDArray[np.int16] | NDArray[np.float32]
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


def read_slices(
    path: Path, encoding: Encoding, targets: Sequence[Slice], scales: Sequence[tuple[float, float]]
) -> bool:
    """Put the modality values of each frame where they belong: stored values times slope plus intercept.

    PixelPaddingValue is left as it is: which values mean nothing is for normalisation to say, not for reading.

    Args:
        path: The file.
        encoding: What its header says.
        targets: One a frame, shape ``(rows, columns)``, contiguous; all int16 or all float32.
        scales: Slope and intercept, one pair a frame (PS3.3 section C.11.1).

    Returns:
        False if int16 does not hold every value exactly; what the targets hold then is of no use.

    Raises:
        ReadError: As ``read_frames``.
    """
    lies_right = _lies_as_wanted(encoding, targets[0].dtype)
    frames = _frames_in_place(path, encoding, targets) if lies_right else read_frames(path, encoding)
    for frame, target, (slope, intercept) in zip(frames, targets, scales, strict=True):
        if target.dtype != np.int16:
            target[...] = frame * np.float64(slope) + intercept
        elif not _put_int16(frame, target, slope, intercept):
            return False
    return True


def _lies_as_wanted(encoding: Encoding, wanted: np.dtype[Any]) -> bool:
    """Whether the file holds frames as memory does, so that they can be read where they belong."""
    is_native = encoding.syntax not in DECODERS and encoding.element.deflated_at is None
    order = stored_type(encoding).newbyteorder(">" if encoding.is_big_endian else "<")
    return is_native and wanted == np.int16 and order.itemsize == wanted.itemsize and order.isnative


def _frames_in_place(path: Path, encoding: Encoding, targets: Sequence[Slice]) -> Iterator[Stored]:
    """As ``read_frames``, in the memory of the targets."""
    with parsing("pixel data"), path.open("rb") as file:
        file.seek(encoding.element.offset)
        for target in targets:
            frame = target.view(stored_type(encoding))
            if file.readinto(frame.data) < encoding.frame_bytes:
                raise ReadError("pixel data is cut off")
            _significant(frame, encoding, frame)
            yield _inverted(frame, encoding, frame) if encoding.is_inverted else frame


def _put_int16(frame: Stored, target: Slice, slope: float, intercept: float) -> bool:
    """Rescale modulo 65536, which is exact if the results fit; False if they do not."""
    extremes = [int(frame.min()) * slope + intercept, int(frame.max()) * slope + intercept]
    if min(extremes) < _INT16.min or max(extremes) > _INT16.max:
        return False
    if not np.may_share_memory(frame, target):
        np.copyto(target, frame, casting="unsafe")
    factor, term = _modulo(slope), _modulo(intercept)
    if factor != 1:
        target *= factor
    if term != 0:
        target += term
    return True


def _modulo(number: float) -> np.int16:
    return np.int16((int(number) - int(_INT16.min)) % 2**16 + int(_INT16.min))


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


def _significant(frame: Stored, encoding: Encoding, out: Stored | None = None) -> Stored:
    """The frame without what lies above BitsStored, such as old overlays (PS3.5 section 8.1.1)."""
    unused = encoding.bits_allocated - encoding.bits_stored
    return np.right_shift(np.left_shift(frame, unused, out=out), unused, out=out) if unused else frame


def _inverted(frame: Stored, encoding: Encoding, out: Stored | None = None) -> Stored:
    """0 becomes the highest value that BitsStored can hold, and the other way round."""
    return _significant(np.invert(frame, out=out), encoding, out)
