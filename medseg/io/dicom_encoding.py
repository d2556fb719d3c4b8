"""How the pixels of one DICOM file are stored, and whether they can be read."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import uid
from pydicom.dataset import Dataset

from medseg.core.errors import ReadError, StudyError

from .dicom_header import Header, PixelElement, integer, items, text

MAX_VOXELS = 2**31
MAX_FRAME_PIXELS = 2**26
_IMAGE_TYPE, _RESCALE_TYPE, _MODALITY_LUT = 0x00080008, 0x00281054, 0x00283000
ENCODING_TAGS = (
    *(0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011),
    *(0x00280100, 0x00280101, 0x00280102, 0x00280103, _IMAGE_TYPE, _RESCALE_TYPE, _MODALITY_LUT),
)
_NOT_IMAGES = {
    "SEG": "a segmentation",
    "RTSTRUCT": "contours (RT structure set)",
    "RTPLAN": "a radiotherapy plan",
    "RTDOSE": "a dose",
    "SR": "a structured report",
    "PR": "a presentation state",
    "KO": "a key object selection",
    "REG": "a registration",
    "RWV": "a table of real world values",
    "ANN": "annotations",
    "DOC": "a document",
    "ECG": "a waveform",
}
_QUANTITIES = ("CT", "PT", "NM")
DECODERS = {
    str(uid.JPEGBaseline8Bit): "pillow",
    str(uid.JPEGExtended12Bit): "pillow",
    str(uid.JPEGLossless): "gdcm",
    str(uid.JPEGLosslessSV1): "gdcm",
    str(uid.JPEGLSLossless): "gdcm",
    str(uid.JPEGLSNearLossless): "gdcm",
    str(uid.JPEG2000Lossless): "pylibjpeg",
    str(uid.JPEG2000): "pylibjpeg",
    str(uid.HTJ2KLossless): "pylibjpeg",
    str(uid.HTJ2KLosslessRPCL): "pylibjpeg",
    str(uid.HTJ2K): "pylibjpeg",
    str(uid.RLELossless): "pydicom",
}
"""Transfer syntaxes that are decoded, each by one decoder: the fastest that a damaged frame cannot bring down.

pylibjpeg-rle panics on such frames, and GDCM may abort; nothing else decodes lossless JPEG.
"""
_NATIVE = {
    str(uid.ImplicitVRLittleEndian),
    str(uid.ExplicitVRLittleEndian),
    str(uid.ExplicitVRBigEndian),
    str(uid.DeflatedExplicitVRLittleEndian),
}


@dataclass(frozen=True)
class Encoding:
    """How the pixels are stored (PS3.3 section C.7.6.3).

    ``is_inverted`` says that 0 is white (MONOCHROME1) and no physical quantity, so that the stored values have to be
    turned round to look like other images of the kind. The interpretation is about display only: Hounsfield units and
    activities keep their meaning and are left alone.
    """

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    is_inverted: bool
    is_big_endian: bool
    syntax: str
    element: PixelElement

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame that is not compressed."""
        return self.rows * self.columns * self.bits_allocated // 8


def read_encoding(header: Header, modality: str) -> Encoding:
    """How the pixels of ``header``'s file are stored.

    Raises:
        StudyError: If it holds no greyscale image.
        ReadError: If the image cannot be decoded, is larger than the limit, or its pixel data is not as long as it is.
    """
    dataset = header.dataset
    if modality in _NOT_IMAGES:
        raise StudyError(f"{_NOT_IMAGES[modality]}, not an image")
    if header.pixels is None:
        raise StudyError("no pixel data")
    photometric = text(dataset, 0x00280004)
    if integer(dataset, 0x00280002, 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise StudyError("a colour image; only greyscale is read")
    if "MOSAIC" in text(dataset, _IMAGE_TYPE).split("\\"):
        raise StudyError("a mosaic of many slices in one picture")
    quantity = modality in _QUANTITIES or text(dataset, _RESCALE_TYPE) == "HU"
    bits = integer(dataset, 0x00280100, 0)
    encoding = Encoding(
        rows=integer(dataset, 0x00280010, 0),
        columns=integer(dataset, 0x00280011, 0),
        frames=integer(dataset, 0x00280008, 1),
        bits_allocated=bits,
        bits_stored=integer(dataset, 0x00280101, bits),
        is_signed=integer(dataset, 0x00280103, 0) == 1,
        is_inverted=photometric == "MONOCHROME1" and not quantity,
        is_big_endian=header.is_big_endian,
        syntax=header.syntax,
        element=header.pixels,
    )
    _check_values(dataset, encoding)
    _check_size(encoding)
    _check_compression(encoding)
    return encoding


def _check_values(dataset: Dataset, encoding: Encoding) -> None:
    if encoding.element.is_float or encoding.bits_allocated not in (8, 16, 32):
        raise ReadError("pixels that are not integers of 8, 16 or 32 bits are not read")
    if encoding.bits_allocated == 8 and encoding.is_big_endian:
        raise ReadError("pixels of 8 bits in big endian words are not read")
    highest = integer(dataset, 0x00280102, encoding.bits_stored - 1)
    if not 1 <= encoding.bits_stored <= encoding.bits_allocated or highest != encoding.bits_stored - 1:
        raise ReadError("bits allocated, bits stored and high bit contradict each other")
    if items(dataset, _MODALITY_LUT):
        raise ReadError("a modality look-up table is not supported")


def _check_size(encoding: Encoding) -> None:
    rows, columns, frames = encoding.rows, encoding.columns, encoding.frames
    if min(rows, columns, frames) < 1:
        raise ReadError(f"{rows} rows, {columns} columns and {frames} frames make no image")
    if rows * columns > MAX_FRAME_PIXELS or rows * columns * frames > MAX_VOXELS:
        raise ReadError(f"{frames} frames of {rows} x {columns} pixels are more than the limit of {MAX_VOXELS} voxels")
    if encoding.syntax not in _NATIVE:
        return
    needed = encoding.frame_bytes * frames
    stored = min(encoding.element.length or 0, encoding.element.available)
    if not needed <= stored < needed + max(2, encoding.frame_bytes):
        raise ReadError(f"pixel data is {stored} bytes, {frames} frames of {rows} x {columns} pixels are {needed}")


def _check_compression(encoding: Encoding) -> None:
    if encoding.syntax in _NATIVE:
        return
    if encoding.syntax not in DECODERS or encoding.element.length is not None:
        raise ReadError("pixel data in a transfer syntax that cannot be decoded, such as video")
    if encoding.syntax == str(uid.JPEGExtended12Bit) and encoding.bits_stored > 8:
        raise ReadError("lossy JPEG of 12 bits cannot be decoded; convert it with dcmdjpeg")
