"""One DICOM file as facts: whose it is, how its pixels are stored, and where each of its frames lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from medseg.core.errors import DataError, GeometryError, ReadError

from .dicom_encoding import ENCODING_TAGS, Encoding, read_encoding
from .dicom_header import Header, items, numbers, parsing, read_header, text

_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_POSITION, _ORIENTATION, _PIXEL_SPACING, _THICKNESS = 0x00200032, 0x00200037, 0x00280030, 0x00180050
_SLOPE, _INTERCEPT = 0x00281053, 0x00281052
_MACROS = {
    _POSITION: 0x00209113,
    _ORIENTATION: 0x00209116,
    _PIXEL_SPACING: 0x00289110,
    _THICKNESS: 0x00289110,
    _SLOPE: 0x00289145,
    _INTERCEPT: 0x00289145,
}
_ATTRIBUTES = {
    "sex": 0x00100040,
    "age": 0x00101010,
    "manufacturer": 0x00080070,
    "model": 0x00081090,
    "field_strength_t": 0x00180087,
    "kernel": 0x00181210,
}
_VARIANTS = {
    "ImageType": 0x00080008,
    "AcquisitionNumber": 0x00200012,
    "TemporalPositionIdentifier": 0x00200100,
    "EchoTime": 0x00180081,
    "TriggerTime": 0x00181060,
    "DiffusionBValue": 0x00189087,
}
_TAGS = (
    *(0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00200052, 0x00080060, 0x0008103E, 0x00180015),
    *(0x00100020, 0x00100021, _SHARED, _PER_FRAME),
    *ENCODING_TAGS,
    *_MACROS,
    *_ATTRIBUTES.values(),
    *_VARIANTS.values(),
)


@dataclass(frozen=True)
class Identity:
    """What tells series apart and describes them; identifiers stay out of the ``repr``."""

    uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    patient: str = field(repr=False)
    modality: str
    description: str = field(repr=False)
    body_part: str
    frame_of_reference_uid: str = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Plane:
    """One frame in the patient, in LPS millimetres as DICOM says it (PS3.3 section C.7.6.2).

    Attributes:
        rows: Pixels down.
        columns: Pixels across.
        position: Centre of the first pixel.
        orientation: Direction along a row, then down a column.
        pixel_spacing: Distance between rows, then between columns.
        thickness: Of the slice, for a volume of a single one; None if unknown.
        slope: Modality value = stored value times slope plus intercept (PS3.3 section C.11.1).
        intercept: See ``slope``.
    """

    rows: int
    columns: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    thickness: float | None
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class Image:
    """The frames of a file: storage, and one plane a frame."""

    encoding: Encoding
    planes: tuple[Plane, ...]


@dataclass(frozen=True, eq=False)
class Instance:
    """The facts of a file: an image, or the reason why it is none that can be used."""

    path: Path = field(repr=False)
    identity: Identity
    image: Image | DataError
    variants: Mapping[str, str] = field(repr=False)


def read_instance(path: Path) -> Instance | None:
    """The facts of a DICOM file; None if it is none.

    Some de-identification empties UIDs. Images without a series UID get one that stands for their folder; what has
    neither a series nor pixels keeps an empty one.

    Raises:
        ReadError: If it is DICOM but cannot be parsed.
    """
    header = read_header(path, _TAGS)
    if header is None:
        return None
    with parsing():
        identity = _identity(header.dataset)
        if not identity.uid and header.pixels is not None:
            identity = replace(identity, uid=folder_uid(path))
        variants = {name: text(header.dataset, tag) for name, tag in _VARIANTS.items()}
        return Instance(path, identity, _image_or_reason(header, identity.modality), variants)


def _identity(dataset: Dataset) -> Identity:
    attributes = {name: text(dataset, tag) for name, tag in _ATTRIBUTES.items()}
    return Identity(
        uid=text(dataset, 0x0020000E),
        study_uid=text(dataset, 0x0020000D),
        patient=f"{text(dataset, 0x00100021)}\0{text(dataset, 0x00100020)}",
        modality=text(dataset, 0x00080060),
        description=text(dataset, 0x0008103E),
        body_part=text(dataset, 0x00180015),
        frame_of_reference_uid=text(dataset, 0x00200052),
        attributes={name: value for name, value in attributes.items() if value},
    )


def folder_uid(path: Path) -> str:
    """A UID that stands for the folder of a file whose own were emptied."""
    digest = hashlib.sha256(os.fsencode(path.parent.resolve())).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _image_or_reason(header: Header, modality: str) -> Image | DataError:
    try:
        encoding = read_encoding(header, modality)
        return Image(encoding, _planes(header.dataset, encoding))
    except DataError as error:
        return error.with_traceback(None)


def _planes(dataset: Dataset, encoding: Encoding) -> tuple[Plane, ...]:
    frames = items(dataset, _PER_FRAME)
    if not frames:
        if encoding.frames > 1:
            raise GeometryError(f"{encoding.frames} frames without a position each")
        return (_plane(encoding, partial(numbers, dataset)),)
    if len(frames) != encoding.frames:
        raise ReadError(f"{encoding.frames} frames, but functional groups for {len(frames)}")
    groups = items(dataset, _SHARED)[:1]
    shared = {tag: _grouped(groups[0], tag) if groups else () for tag in _MACROS}

    def value(frame: Dataset, tag: int) -> tuple[float, ...]:
        return _grouped(frame, tag) or shared[tag] or numbers(dataset, tag)

    return tuple(_plane(encoding, partial(value, frame)) for frame in frames)


def _grouped(group: Dataset, tag: int) -> tuple[float, ...]:
    """Numbers in a functional group's macro (PS3.3 section C.7.6.16)."""
    macro = items(group, _MACROS[tag])
    return numbers(macro[0], tag) if macro else ()


def _plane(encoding: Encoding, value: Callable[[int], tuple[float, ...]]) -> Plane:
    position, orientation, spacing = value(_POSITION), value(_ORIENTATION), value(_PIXEL_SPACING)
    if len(position) != 3 or len(orientation) != 6 or len(spacing) != 2:
        raise GeometryError("no position, orientation and pixel spacing in the patient")
    thickness, slope, intercept = value(_THICKNESS), value(_SLOPE), value(_INTERCEPT)
    plane = Plane(
        rows=encoding.rows,
        columns=encoding.columns,
        position=position,
        orientation=orientation,
        pixel_spacing=spacing,
        thickness=thickness[0] if thickness and thickness[0] > 0 else None,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
    )
    if plane.slope == 0:
        raise ReadError("rescale slope is 0")
    return plane
