"""Whether a series shows a head and its face, by what its header says.

A series of CT, MR or PET shows a face if

- its body part or its description names the head or something in it, in English, or often used German, French or
  Spanish; or neither names a body part at all and the field of view is as large as a head, or cannot be told;
- its slices lie at most 3 mm apart and cover at least 30 mm, so that a surface can be made of them; or they are
  sagittal, each of which shows a profile, whatever their distance; or they make no volume of which that could be said;
- the field of view is at least 80 mm wide in two directions.

Cervical spines are not counted as heads, though their sagittal slices may show a chin.
"""

from __future__ import annotations

import re

from medseg.core.geometry import Geometry

_MODALITIES = ("CT", "MR", "PT")
_LARGEST_STEP_MM, _LEAST_DEPTH_MM, _SMALLEST_FACE_MM = 3.0, 30.0, 80.0
_HEAD_SIZES_MM = ((90.0, 320.0), (150.0, 320.0), (180.0, 320.0))
_WORDS = frozenset(
    {"bravo", "eye", "eyes", "face", "flair", "hals", "iac", "iam", "jaw", "mprage", "neck", "nose", "orbit", "orbita"}
    | {"orbits", "rage", "sella", "tete", "tmj", "tête"}
)
_STEMS = (
    *("brain", "cabeza", "cerebell", "cerebr", "cerveau", "crane", "crani", "dental", "encephal", "facial", "gehirn"),
    *(
        "gesicht",
        "head",
        "hippocamp",
        "hirn",
        "hypophys",
        "kopf",
        "mandib",
        "maxill",
        "nasal",
        "neuro",
        "paranasal",
        "pituit",
    ),
    *("schadel", "schaedel", "schädel", "sinus", "skull", "wholebody", "crâne"),
)
_NO_PART = frozenset({"", "na", "none", "other", "undefined", "unknown"})


def is_head(modality: str, body_part: str, description: str, grid: Geometry | None) -> bool:
    """Whether a series may show a face.

    Args:
        modality: As DICOM calls it.
        body_part: Body Part Examined, or empty.
        description: Of the series, or empty.
        grid: Of the volume, with gaps filled; None if the series makes none.
    """
    if modality not in _MODALITIES:
        return False
    if any(_names_head(word) for word in _words(f"{body_part} {description}")):
        return grid is None or _shows_face(grid)
    has_no_part = "".join(_words(body_part)) in _NO_PART
    return has_no_part and (grid is None or (_is_head_sized(grid) and _shows_face(grid)))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def _names_head(word: str) -> bool:
    return word in _WORDS or word.startswith(_STEMS)


def _shows_face(grid: Geometry) -> bool:
    sizes = [count * step for count, step in zip(grid.shape, grid.spacing, strict=True)]
    if sorted(sizes)[1] < _SMALLEST_FACE_MM:
        return False
    across = max(range(3), key=lambda axis: grid.spacing[axis])
    is_sagittal = grid.axis_codes[across] in "LR" and grid.spacing[across] > min(grid.spacing)
    return is_sagittal or (max(grid.spacing) <= _LARGEST_STEP_MM and min(sizes) >= _LEAST_DEPTH_MM)


def _is_head_sized(grid: Geometry) -> bool:
    sizes = sorted(count * step for count, step in zip(grid.shape, grid.spacing, strict=True))
    return all(low <= size <= high for size, (low, high) in zip(sizes, _HEAD_SIZES_MM, strict=True))
