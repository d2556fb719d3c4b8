"""The segments of a DICOM segmentation as structures, and back (PS3.3 section C.8.20.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from medseg.core.errors import ReadError
from medseg.core.labels import CodedConcept, Colour, LabelScheme, Structure, palette_colour

from .dicom_codes import (
    ANATOMICAL_STRUCTURE,
    ARTIFICIAL_INTELLIGENCE,
    TISSUE,
    code_item,
    is_anatomical,
    is_background,
    lab_from_rgb,
    laterality_code,
    laterality_of,
    plain_text,
    read_code,
    rgb_from_lab,
)
from .dicom_header import integer, items, numbers, text
from .dicom_result import Making, ResultHeader, derived_uid

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

_SEQUENCE, _NUMBER, _LABEL, _COLOUR = 0x00620002, 0x00620004, 0x00620005, 0x0062000D
_CATEGORY, _TYPE, _MODIFIER = 0x00620003, 0x0062000F, 0x00620011
_PALETTE = ((0x00281101, 0x00281201), (0x00281102, 0x00281202), (0x00281103, 0x00281203))


@dataclass(frozen=True, eq=False)
class Segments:
    """What a segmentation describes.

    Attributes:
        scheme: Its structures, in the order of the file; the value is the segment's number, if that is not 0.
        values: The value of each segment by number, 0 for those that stand for the background.
    """

    scheme: LabelScheme
    values: Mapping[int, int]


def read_segments(dataset: Dataset) -> Segments:
    """The segments of a segmentation that was read raw.

    Names that stand twice get a number behind them; colours that are not said are the palette's.

    Raises:
        ReadError: If there is none.
        LabelError: If there are more than a scheme holds, or two of one number.
    """
    described = items(dataset, _SEQUENCE)
    structures: list[Structure] = []
    values: dict[int, int] = {}
    names: set[str] = set()
    free = max((integer(item, _NUMBER, 0) for item in described), default=0) + 1
    palette = _palette(dataset)
    for item in described:
        number = integer(item, _NUMBER, 0)
        if is_background(read_code(item, _TYPE)):
            values[number] = 0
            continue
        values[number] = number or free  # a label map may count from 0, where others have their background
        name = _unique(text(item, _LABEL) or f"segment {number}", names)
        colour = _colour(item) or palette.get(number) or palette_colour(len(structures))
        structures.append(_structure(item, name, values[number], colour))
    if not structures:
        raise ReadError("a segmentation that describes no segment")
    return Segments(LabelScheme(tuple(structures)), values)


def segment_descriptions(
    structures: Sequence[Structure], numbers_: Sequence[int], header: ResultHeader
) -> list[SegmentDescription]:
    """The structures as segments of those numbers; those that were drawn by hand name no algorithm."""
    from highdicom import AlgorithmIdentificationSequence  # noqa: PLC0415 - takes a second to load
    from highdicom.color import CIELabColor  # noqa: PLC0415
    from highdicom.seg import SegmentDescription  # noqa: PLC0415

    algorithm = AlgorithmIdentificationSequence(
        name=plain_text(header.algorithm.name),
        family=_pydicom_code(ARTIFICIAL_INTELLIGENCE),
        version=plain_text(header.algorithm.version),
    )
    described = []
    for structure, number in zip(structures, numbers_, strict=True):
        category, kind = _codes(structure)
        making = header.making(structure.name)
        segment = SegmentDescription(
            segment_number=number,
            segment_label=plain_text(structure.name) or f"segment {number}",
            segmented_property_category=_pydicom_code(category),
            segmented_property_type=_pydicom_code(kind),
            algorithm_type=making.value,
            algorithm_identification=None if making is Making.MANUAL else algorithm,
            tracking_uid=tracking_uid(header, structure.name),
            tracking_id=plain_text(structure.name) or f"segment {number}",
            display_color=CIELabColor.from_dicom_value(lab_from_rgb(structure.colour)),
        )
        if structure.laterality is not None:
            modifier = code_item(laterality_code(structure.laterality))
            segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
        described.append(segment)
    return described


def tracking_uid(header: ResultHeader, name: str) -> str:
    """Tracking UID of a segment, which a report of it repeats (PS3.3 section C.8.20.4)."""
    return derived_uid(f"{header.instance_uid} {name}")


def words(dataset: Dataset, tag: int) -> list[int]:
    """The element as unsigned numbers of 16 bits, whatever it is said to be; empty if absent.

    The dictionary has no representation for those that are as signed as the pixels (PS3.5 section A.1).
    """
    element = dataset.get_item(tag, keep_deferred=True)
    if element is None or not isinstance(element.value, bytes):
        return []
    order = "<" if element.is_little_endian else ">"
    numbers_: NDArray[np.uint16] = np.frombuffer(element.value, f"{order}u2", len(element.value) // 2)
    return [int(number) for number in numbers_]


def _structure(item: Dataset, name: str, value: int, colour: Colour) -> Structure:
    kind, category = read_code(item, _TYPE), read_code(item, _CATEGORY)
    modifier = next((read_code(code, _MODIFIER) for code in items(item, _TYPE)), None)
    if kind == TISSUE and category == TISSUE:
        kind = category = None
    return Structure(
        name=name,
        value=value,
        colour=colour,
        code=kind,
        category=None if is_anatomical(category) else category,
        laterality=laterality_of(modifier),
    )


def _codes(structure: Structure) -> tuple[CodedConcept, CodedConcept]:
    """Category and type."""
    if structure.code is None:
        return structure.category or TISSUE, TISSUE
    return structure.category or ANATOMICAL_STRUCTURE, structure.code


def _unique(name: str, taken: set[str]) -> str:
    """The name, with the first number behind it that makes it differ from those that were taken; takes it."""
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name} {number}", number + 1
    taken.add(unique)
    return unique


def _colour(item: Dataset) -> Colour | None:
    values = [int(value) for value in numbers(item, _COLOUR)]
    return rgb_from_lab((values[0], values[1], values[2])) if len(values) == 3 else None


def _palette(dataset: Dataset) -> dict[int, Colour]:
    """Colours by pixel value of a label map in palette colours (PS3.3 section C.7.6.3.1.5); empty if it is none."""
    red, green, blue = (_palette_table(dataset, *tags) for tags in _PALETTE)
    first = words(dataset, _PALETTE[0][0])[1] if red else 0
    return {first + index: colour for index, colour in enumerate(zip(red, green, blue, strict=False))}


def _palette_table(dataset: Dataset, descriptor: int, data: int) -> list[int]:
    """One colour's table, as 0 … 255; empty if there is none."""
    described, element = words(dataset, descriptor), dataset.get_item(data, keep_deferred=True)
    if len(described) != 3 or element is None or not isinstance(element.value, bytes):
        return []
    return [word >> 8 for word in words(dataset, data)] if described[2] > 8 else list(element.value)


def _pydicom_code(concept: CodedConcept) -> Code:
    return Code(concept.value, concept.scheme[:16], plain_text(concept.meaning))
