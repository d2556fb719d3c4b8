"""The pixels of one DICOM object in memory: out of any transfer syntax that can be read, and back uncompressed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragmented_frames
from pydicom.pixels import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from medseg.core.errors import ReadError
from medseg.io.dicom_codestream import frame_header
from medseg.io.dicom_elements import quietly
from medseg.io.dicom_encoding import DECODERS
from medseg.io.dicom_file import check_image_size
from medseg.io.dicom_header import parsing

from .elements import stored
from .header_values import figure, word, words

if TYPE_CHECKING:
    from medseg.io.dicom_file import DicomFile

NATIVE = frozenset(map(str, (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)))
"""Transfer syntaxes whose pixels are not compressed; deflated ones are inflated when they are read."""
_PIXELS, _OFFSETS, _LENGTHS = 0x7FE00010, 0x7FE00001, 0x7FE00002
_IMAGE_TYPE, _PHOTOMETRIC, _PLANAR = 0x00080008, 0x00280004, 0x00280006
_ALLOCATED, _STORED, _HIGH, _COUNT = 0x00280100, 0x00280101, 0x00280102, 0x00280008
_LARGEST = 2**30
_RLE_WORST, _RLE_SLACK = 2, 1024
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
_UNKNOWN_SYNTAX = "pixel data in a transfer syntax that cannot be decoded, such as video"
_GREY, _COLOUR = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), "RGB"


@dataclass(frozen=True, eq=False)
class Frames:
    """All frames of one object; the values may be overwritten.

    Attributes:
        values: Stored values, or colours as red, green and blue; shape ``(frames, rows, columns)`` or
            ``(frames, rows, columns, 3)``.
        photometric: ``MONOCHROME1``, ``MONOCHROME2``, ``PALETTE COLOR`` or ``RGB``.
        bits_allocated: Of one sample as it was stored.
        bits_stored: Of one sample.
    """

    values: NDArray[np.integer[Any]]
    photometric: str
    bits_allocated: int
    bits_stored: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[1], self.values.shape[2]

    def fill(self, mask: NDArray[np.bool_], value: int) -> None:
        """Give all samples of the pixels of ``mask`` one value, in every frame."""
        self.values[:, mask] = value


def read_frames(file: DicomFile) -> Frames:
    """The pixels of an object, colours as RGB.

    Raises:
        ReadError: If they are damaged, decode to more than 1 GiB, or are in a transfer syntax or colour space that is
            not read, such as video.
    """
    dataset, syntax = file.dataset, str(file.syntax)
    if _PIXELS not in dataset:
        raise ReadError("pixels that are no integers are not read")
    check_image_size(dataset)
    with parsing("pixel data"), quietly():
        options = _options(dataset)
        _check(options, syntax)
        content = stored(dataset, dataset.get_item(_PIXELS))
        if syntax in NATIVE:
            representation = dataset.get_item(_PIXELS).VR or "OW"
            values, found = get_decoder(UID(syntax)).as_array(content, pixel_vr=representation, **options)
        else:
            values, found = _decoded(file, options)
    photometric = str(found["photometric_interpretation"])
    if photometric not in (*_GREY, _COLOUR):
        raise ReadError("pixels in a colour space that is not read")
    shape = (options["number_of_frames"], options["rows"], options["columns"], options["samples_per_pixel"])
    shaped = values.reshape(shape if photometric == _COLOUR else shape[:3])
    return Frames(
        _significant(shaped, options["bits_stored"]), photometric, options["bits_allocated"], options["bits_stored"]
    )


def compressed_frames(file: DicomFile) -> Iterator[bytes]:
    """The frames of compressed pixel data as they are stored.

    Raises:
        ReadError: If there are more than the data set says: what nobody decodes, nobody searches.
    """
    dataset, syntax = file.dataset, str(file.syntax)
    if syntax not in DECODERS:
        raise ReadError(_UNKNOWN_SYNTAX)
    count, content = figure(dataset, _COUNT, 1), stored(dataset, dataset.get_item(_PIXELS))
    for number, fragments in enumerate(_encoded_frames(dataset, content, count)):
        is_one = len(fragments) == 1 if syntax == str(RLELossless) else not any(map(_begins, fragments[1:]))
        if number == count or not is_one:
            raise ReadError(f"pixel data holds more frames than the {count} that the data set says")
        yield b"".join(fragments)


def with_frames(file: DicomFile, frames: Frames, image_type: tuple[str, ...] | None = None) -> DicomFile:
    """The object with other pixels, not compressed; ``file`` stays as it is.

    What was compressed is Explicit VR Little Endian then, all else stays in its transfer syntax.

    Args:
        file: Where the pixels come from.
        frames: As ``read_frames`` gave them, changed.
        image_type: New values of Image Type; by default the first one becomes DERIVED, as the pixels were changed
            (PS3.3 section C.7.6.1.1.2).
    """
    syntax = str(file.syntax) if str(file.syntax) in NATIVE else str(ExplicitVRLittleEndian)
    dataset = shallow_copy(file.dataset)
    for tag in (_OFFSETS, _LENGTHS):
        if tag in dataset:
            del dataset[tag]
    order = ">" if syntax == str(ExplicitVRBigEndian) else "<"
    content = _encoded(frames, order)
    is_wide = frames.bits_allocated > 8 or syntax == str(ImplicitVRLittleEndian)
    dataset.add_new(_PIXELS, "OW" if is_wide else "OB", content)
    dataset.add_new(_PHOTOMETRIC, "CS", frames.photometric)
    if frames.photometric == _COLOUR:
        dataset.add_new(_PLANAR, "US", 0)
    dataset.add_new(_ALLOCATED, "US", frames.bits_allocated)
    dataset.add_new(_STORED, "US", frames.bits_stored)
    dataset.add_new(_HIGH, "US", frames.bits_stored - 1)
    kinds = image_type or ("DERIVED", *(words(dataset, _IMAGE_TYPE)[1:] or ("SECONDARY",)))
    dataset.add_new(_IMAGE_TYPE, "CS", list(kinds))
    return replace(file, dataset=dataset, syntax=syntax)


def shallow_copy(dataset: Dataset) -> Dataset:
    """A data set with the same elements, of which it may lose some or get others; pydicom's own copy shares them."""
    copied = Dataset()
    for tag in list(dataset.keys()):
        copied[tag] = copy.copy(dataset.get_item(tag))
    copied.set_original_encoding(*dataset.original_encoding, dataset.original_character_set)
    return copied


def _significant(values: NDArray[Any], bits_stored: int) -> NDArray[Any]:
    """The values without bits above BitsStored, in this machine's order of bytes (PS3.5 section 8.1.1)."""
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    unused = 8 * native.dtype.itemsize - bits_stored
    return (native << unused) >> unused if unused > 0 and native.dtype.itemsize > 1 else native


def _options(dataset: Dataset) -> dict[str, Any]:
    """What the decoders ask (PS3.3 section C.7.6.3)."""
    bits, samples = figure(dataset, _ALLOCATED, 0), figure(dataset, 0x00280002, 1)
    options = {
        "rows": figure(dataset, 0x00280010, 0),
        "columns": figure(dataset, 0x00280011, 0),
        "number_of_frames": figure(dataset, _COUNT, 1),
        "samples_per_pixel": samples,
        "photometric_interpretation": word(dataset, _PHOTOMETRIC),
        "pixel_representation": figure(dataset, 0x00280103, 0),
        "bits_allocated": bits,
        "bits_stored": figure(dataset, _STORED, bits),
        "pixel_keyword": "PixelData",
    }
    return options if samples == 1 else {**options, "planar_configuration": figure(dataset, _PLANAR, 0)}


def _check(options: dict[str, Any], syntax: str) -> None:
    size = options["rows"] * options["columns"] * options["number_of_frames"] * options["samples_per_pixel"]
    decoded = size * max(options["bits_allocated"], 8) // 8
    if decoded > _LARGEST:
        raise ReadError(f"an image of {decoded / 2**20:.0f} MiB; up to {_LARGEST >> 20} MiB are searched for text")
    if options["samples_per_pixel"] not in (1, 3) or options["bits_allocated"] not in (1, 8, 16, 32):
        raise ReadError("pixels of a number of samples or bits that is not read")
    if syntax not in NATIVE and syntax not in DECODERS:
        raise ReadError(_UNKNOWN_SYNTAX)


def _decoded(file: DicomFile, options: dict[str, Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    syntax = str(file.syntax)
    decoder, count = get_decoder(UID(syntax)), options["number_of_frames"]
    options = {**options, "number_of_frames": 1, "decoding_plugin": DECODERS[syntax]}
    frames, properties, decoded = np.empty(0), dict[str, Any](), 0
    for decoded, frame in enumerate(compressed_frames(file), start=1):
        _check_frame(frame, syntax, options)
        values, properties = decoder.as_array(encapsulate([frame], has_bot=False), index=0, **options)
        if decoded == 1:
            frames = np.empty((count, *values.shape), values.dtype)
        frames[decoded - 1] = values
    if decoded != count:
        raise ReadError(f"pixel data holds {decoded} of {count} frames")
    return frames, properties


def _encoded_frames(dataset: Dataset, content: bytes, count: int) -> Iterator[tuple[bytes, ...]]:
    """The fragments of each frame."""
    offsets = None
    if _OFFSETS in dataset and _LENGTHS in dataset:
        offsets = (stored(dataset, dataset.get_item(_OFFSETS)), stored(dataset, dataset.get_item(_LENGTHS)))
    yield from generate_fragmented_frames(content, number_of_frames=count, extended_offsets=offsets)


def _begins(fragment: bytes) -> bool:
    """Whether an image begins with a fragment."""
    return fragment.startswith(_STARTS)


def _check_frame(frame: bytes, syntax: str, options: dict[str, Any]) -> None:
    """Refuse a frame whose own header asks for other memory than the data set says."""
    pixels = options["rows"] * options["columns"] * options["samples_per_pixel"]
    if syntax == str(RLELossless):
        if len(frame) > _RLE_WORST * pixels * options["bits_allocated"] // 8 + _RLE_SLACK:
            raise ReadError("a run-length frame is longer than its pixels can be")
        return
    header = frame_header(frame)
    if header is None:
        raise ReadError("a compressed frame is damaged")
    if header.rows * header.columns * header.samples != pixels or header.rows != options["rows"]:
        raise ReadError("a compressed frame is of another size than its data set says")
    if header.precision > options["bits_allocated"]:
        raise ReadError(f"a compressed frame has {header.precision} bits, allocated are {options['bits_allocated']}")


def _encoded(frames: Frames, order: str) -> bytes:
    values = frames.values
    if frames.bits_allocated == 1:
        content = np.packbits(values.astype(np.uint8).ravel(), bitorder="little").tobytes()
    else:
        kind = "i" if values.dtype.kind == "i" else "u"
        content = np.ascontiguousarray(values, f"{order}{kind}{frames.bits_allocated // 8}").tobytes()
    return content + b"\0" * (len(content) % 2)
