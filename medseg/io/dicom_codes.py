"""Coded entries, sides and colours as DICOM says them."""

from __future__ import annotations

import math

from pydicom.dataset import Dataset

from medseg.core.labels import CodedConcept, Colour, Laterality

from .dicom_header import items, text

Lab = tuple[int, int, int]
"""L* (0 … 100), a* and b* (-128 … 127), each over 0 … 65535 (PS3.3 section C.10.7.1.1)."""

ANATOMICAL_STRUCTURE = CodedConcept("91723000", "SCT", "Anatomical Structure")
"""The category of what has a code but no category (PS3.16 CID 7150)."""
_ANATOMICAL = (ANATOMICAL_STRUCTURE.value, "123037004", "T-D000A")  # the last two by Slicer, dcmqi and older editions
TISSUE = CodedConcept("85756007", "SCT", "Tissue")
"""Category and type of what nobody coded: all that is known is that it was outlined. Slicer and dcmqi say the same."""
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
"""Family of algorithms (PS3.16 CID 7162)."""
_BACKGROUND = ("125040", "DCM")
_SIDES = {
    Laterality.LEFT: CodedConcept("7771000", "SCT", "Left"),
    Laterality.RIGHT: CodedConcept("24028007", "SCT", "Right"),
    Laterality.BOTH: CodedConcept("51440002", "SCT", "Right and left"),
}
_SIDE_BY_CODE = {(code.value, code.scheme): side for side, code in _SIDES.items()} | {
    ("G-A101", "SRT"): Laterality.LEFT,
    ("G-A100", "SRT"): Laterality.RIGHT,
    ("G-A102", "SRT"): Laterality.BOTH,
}
_VALUE, _LONG_VALUE, _URN_VALUE, _SCHEME, _MEANING = 0x00080100, 0x00080119, 0x00080120, 0x00080102, 0x00080104
_SHORT, _LONG = 16, 64
_WHITE = (0.95047, 1.0, 1.08883)  # D65, which DICOM's implementations agree on
_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_FROM_XYZ = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))


def is_anatomical(category: CodedConcept | None) -> bool:
    """Whether a category is that of anatomical structures, which goes without saying."""
    return category is None or category.value in _ANATOMICAL


def code_item(concept: CodedConcept) -> Dataset:
    """The item of a code sequence (PS3.3 section 8.8)."""
    item = Dataset()
    if len(concept.value) > _SHORT:
        item.LongCodeValue = concept.value
    else:
        item.CodeValue = concept.value
    item.CodingSchemeDesignator = concept.scheme[:_SHORT]
    item.CodeMeaning = plain_text(concept.meaning)
    return item


def read_code(dataset: Dataset, sequence: int) -> CodedConcept | None:
    """The first code of a sequence of a data set that was read raw; None if there is none."""
    item = next(iter(items(dataset, sequence)), None)
    if item is None:
        return None
    value = text(item, _VALUE) or text(item, _LONG_VALUE) or text(item, _URN_VALUE)
    return CodedConcept(value, text(item, _SCHEME), text(item, _MEANING)) if value else None


def is_background(code: CodedConcept | None) -> bool:
    """Whether a segment of that type stands for what is no segment."""
    return code is not None and (code.value, code.scheme) == _BACKGROUND


def laterality_code(side: Laterality) -> CodedConcept:
    """The code of a side (PS3.16 CID 244)."""
    return _SIDES[side]


def laterality_of(code: CodedConcept | None) -> Laterality | None:
    """The side that a code stands for, in SNOMED CT or the older SNOMED RT; None if it is another modifier."""
    return None if code is None else _SIDE_BY_CODE.get((code.value, code.scheme))


def plain_text(value: str, longest: int = _LONG) -> str:
    """The text as a long string holds it: without backslashes and control characters, cut off (PS3.5 section 6.2)."""
    return "".join(letter for letter in value.replace("\\", "/") if letter.isprintable()).strip()[:longest]


def person_name(text: str) -> str:
    """The text as one part of a person's name: ``^`` and ``=`` would begin others (PS3.5 section 6.2)."""
    return plain_text(text.replace("^", " ").replace("=", " "))


def lab_from_rgb(colour: Colour) -> Lab:
    """The colour for RecommendedDisplayCIELabValue, from sRGB.

    References:
        IEC 61966-2-1 (sRGB) and CIE 15, with the white point D65 as in pixelmed, dcmqi and highdicom.
    """
    linear = [_linear(part / 255) for part in colour]
    x, y, z = (
        _root(sum(weight * part for weight, part in zip(row, linear, strict=True)) / white)
        for row, white in zip(_TO_XYZ, _WHITE, strict=True)
    )
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return _word(lightness / 100), _word((a + 128) / 255), _word((b + 128) / 255)


def rgb_from_lab(values: Lab) -> Colour:
    """The sRGB colour that is nearest to a RecommendedDisplayCIELabValue."""
    lightness, a, b = values[0] / 65535 * 100, values[1] / 65535 * 255 - 128, values[2] / 65535 * 255 - 128
    y = (lightness + 16) / 116
    xyz = [white * _cube(part) for white, part in zip(_WHITE, (y + a / 500, y, y - b / 200), strict=True)]
    red, green, blue = (
        _display(sum(weight * part for weight, part in zip(row, xyz, strict=True))) for row in _FROM_XYZ
    )
    return red, green, blue


def _linear(part: float) -> float:
    return float(((part + 0.055) / 1.055) ** 2.4) if part > 0.04045 else part / 12.92


def _display(part: float) -> int:
    shown = 1.055 * part ** (1 / 2.4) - 0.055 if part > 0.0031308 else 12.92 * part
    return round(min(max(float(shown), 0.0), 1.0) * 255)


def _root(part: float) -> float:
    return math.cbrt(part) if part > (6 / 29) ** 3 else part * 841 / 108 + 4 / 29


def _cube(part: float) -> float:
    return part**3 if part > 6 / 29 else (part - 4 / 29) * 108 / 841


def _word(share: float) -> int:
    return round(min(max(share, 0.0), 1.0) * 65535)
