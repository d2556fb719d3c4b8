"""Segmentations of 3D Slicer (``.seg.nrrd``): a label map in NRRD whose header says what the labels mean.

Format: https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.core.errors import LabelError, ReadError
from medseg.core.files import atomic_file
from medseg.core.labels import CodedConcept, Colour, LabelScheme, Structure, palette_colour
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume

from .dicom_codes import TISSUE, is_anatomical, laterality_code, laterality_of
from .limits import LARGEST_DECODED, decoding
from .nrrd import is_nrrd, read_nrrd, read_nrrd_pairs, write_nrrd

_Values = np.unsignedinteger[Any]
_LARGEST_VALUE = 2**16 - 1
_KEY = re.compile(r"Segment(\d{1,6})_ID")
_MARKS = ("Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation")
_LIST = "Segmentation category and type - DICOM master list"
_DEFAULT_LIST = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"
_ANATOMICAL_STRUCTURE = CodedConcept("123037004", "SCT", "Anatomical Structure")  # as Slicer's list has it


@dataclass(frozen=True)
class _Segment:
    """One segment as a file has it."""

    structure: Structure
    layer: int
    label: int


def is_slicer_nrrd(path: Path) -> bool:
    """Whether a file is NRRD with 3D Slicer's words on segments; False for what cannot be read."""
    try:
        with path.open("rb") as file:
            if not is_nrrd(file.read(8)):
                return False
        pairs = read_nrrd_pairs(path)
    except (OSError, ReadError):
        return False
    return "Segment0_ID" in pairs or any(mark in pairs for mark in _MARKS)


def write_slicer_nrrd(path: Path, segmentation: Segmentation) -> None:
    """Write all structures with names, colours and codes; those that overlap go into as few layers as come by greed.

    The values of the label map stay. Empty structures are kept; voxels that are to be ignored become background.

    Raises:
        OutputError: If the file cannot be written.
    """
    structures = segmentation.scheme.target_structures
    layers, places = _layers(segmentation)
    extents = [ndimage.find_objects(layer) for layer in layers]
    pairs: dict[str, str] = {}
    for number, (structure, layer) in enumerate(zip(structures, places, strict=True)):
        found = extents[layer]
        box = found[structure.value - 1] if structure.value <= len(found) else None
        pairs |= {f"Segment{number}_{key}": value for key, value in _words(structure, layer, box).items()}
    pairs |= {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        **dict.fromkeys(_MARKS, "Binary labelmap"),  # the second up to Slicer 5.2
    }
    with atomic_file(path) as partial:
        write_nrrd(partial, layers, segmentation.geometry, kind="list", pairs=pairs)


def read_slicer_nrrd(path: Path) -> Segmentation:
    """The segments of a file: a label map, or masks if they lie in several layers.

    Values stay if they differ from each other, else they become 1, 2, …. Voxels of no segment are background. What
    Slicer calls *Tissue* of the category *Tissue* was said by nobody and gives no code.

    Raises:
        ReadError: If it is no such file, damaged or too large, or its segments are fractional or not in its voxels.
        LabelError: If there are too many segments.
    """
    with decoding(path):
        pairs = read_nrrd_pairs(path)
        if any("fractional" in pairs.get(mark, "").lower() for mark in _MARKS):
            raise ReadError("holds fractional segments; export them as a binary label map")
    volume = read_nrrd(path)
    with decoding(path):
        if not np.issubdtype(volume.array.dtype, np.integer):
            raise ReadError(f"holds {volume.array.dtype} voxels; segments are whole numbers")
        if math.prod(volume.array.shape) == 1:
            raise ReadError("holds no voxels, only names of segments; draw and save them in 3D Slicer first")
        return _segmentation(volume, _segments(pairs, len(volume.array)))


def _layers(segmentation: Segmentation) -> tuple[NDArray[_Values], list[int]]:
    """Label maps, shape ``(layer, i, j, k)``, and in which of them each structure is."""
    labels, scheme = segmentation.labels, segmentation.scheme
    structures = scheme.target_structures
    dtype = _value_type(structures)
    if isinstance(labels, LabelMap) and not scheme.regions:
        known = np.isin(labels.array, scheme.values)
        return np.where(known, labels.array, 0).astype(dtype)[np.newaxis], [0] * len(structures)
    layers = [np.zeros(segmentation.geometry.shape, dtype)]
    places = []
    for structure, mask in segmentation.masks():
        place = next((number for number, layer in enumerate(layers) if not layer[mask].any()), len(layers))
        if place == len(layers):
            layers.append(np.zeros_like(layers[0]))
        layers[place][mask] = structure.value
        places.append(place)
    return np.stack(layers), places


def _value_type(structures: Sequence[Structure]) -> np.dtype[_Values]:
    return np.dtype(np.uint8 if max(structure.value for structure in structures) <= 255 else np.uint16)


def _words(structure: Structure, layer: int, box: tuple[slice, ...] | None) -> dict[str, str]:
    """What the header says of a segment; the extent of an empty one is ``0 -1``."""
    extent = ["0 -1"] * 3 if box is None else [f"{part.start} {part.stop - 1}" for part in box]
    return {
        "Color": " ".join(f"{part / 255:.6g}" for part in structure.colour),
        "ColorAutoGenerated": "0",
        "Extent": " ".join(extent),
        "ID": f"Segment_{structure.value}",
        "LabelValue": str(structure.value),
        "Layer": str(layer),
        "Name": structure.name,
        "NameAutoGenerated": "0",
        "Tags": f"TerminologyEntry:{_terminology(structure)}|",
    }


def _terminology(structure: Structure) -> str:
    """Category, type and side; what 3D Slicer takes for a segment of which nothing is known, if it has no code."""
    context = _LIST if structure.code else _DEFAULT_LIST
    category = (structure.category or _ANATOMICAL_STRUCTURE) if structure.code else TISSUE
    side = laterality_code(structure.laterality) if structure.laterality else None
    words = (_triple(category), _triple(structure.code or TISSUE), _triple(side))
    return "~".join((context, *words, _REGIONS, "^^", "^^"))


def _triple(code: CodedConcept | None) -> str:
    parts = ("", "", "") if code is None else (code.scheme, code.value, code.meaning)
    return "^".join(re.sub(r"[~^|]", " ", part) for part in parts)


def _segments(pairs: Mapping[str, str], layers: int) -> tuple[_Segment, ...]:
    """The segments in the order of their numbers, with values and names that differ.

    Files from before Slicer 4.11 have one layer a segment and say neither layer nor label.
    """
    numbers = sorted(int(match[1]) for key in pairs if (match := _KEY.fullmatch(key)))
    if not numbers:
        raise ReadError("names no segments; it is a plain label map")
    labels = [int(pairs.get(f"Segment{number}_LabelValue", "1")) for number in numbers]
    bad = [label for label in labels if not 1 <= label <= _LARGEST_VALUE]
    if bad:
        raise ReadError(f"gives a segment the label {bad[0]}; 1 to {_LARGEST_VALUE} are read")
    values = labels if len(set(labels)) == len(labels) else range(1, len(labels) + 1)
    segments: list[_Segment] = []
    names: set[str] = set()
    for place, (number, label, value) in enumerate(zip(numbers, labels, values, strict=True)):
        words = {key: pairs.get(f"Segment{number}_{key}", "") for key in ("Name", "ID", "Color", "Layer", "Tags")}
        layer = int(words["Layer"] or (place if layers > 1 else 0))
        if not 0 <= layer < layers:
            raise ReadError(f"says a segment lies in layer {layer}, it has {layers} counted from 0")
        name = _distinct(words["Name"] or words["ID"] or f"Segment {number}", names)
        names.add(name)
        segments.append(_Segment(_structure(name, value, _colour(words["Color"], place), words["Tags"]), layer, label))
    return tuple(segments)


def _segmentation(volume: Volume, segments: Sequence[_Segment]) -> Segmentation:
    layers, grid = volume.array, volume.geometry
    structures = tuple(segment.structure for segment in segments)
    scheme = LabelScheme(structures)
    if len({(segment.layer, segment.label) for segment in segments}) == len(segments) and len(layers) == 1:
        return Segmentation(LabelMap(_valued(layers[0], segments), grid), scheme)
    if len(segments) * math.prod(grid.shape) > LARGEST_DECODED:
        raise LabelError(f"holds {len(segments)} overlapping segments, too many for the memory")
    masks = np.stack([layers[segment.layer] == segment.label for segment in segments])
    return Segmentation(MultiLabelMap(masks, grid, scheme.names), LabelScheme(structures, overlapping=True))


def _valued(layer: NDArray[Any], segments: Sequence[_Segment]) -> NDArray[_Values]:
    """The layer with the structures' values, and 0 where no segment is."""
    largest = max(segment.label for segment in segments)
    table = np.zeros(largest + 1, dtype=_value_type([segment.structure for segment in segments]))
    for segment in segments:
        table[segment.label] = segment.structure.value
    valued: NDArray[_Values] = table[np.where((layer > 0) & (layer <= largest), layer, 0)]
    return valued


def _structure(name: str, value: int, colour: Colour, tags: str) -> Structure:
    entry = next((tag.partition(":")[2] for tag in tags.split("|") if tag.startswith("TerminologyEntry:")), "")
    parts = [_code(part) for part in entry.split("~")]
    category, code, modifier, _, _, side = (*parts, *[None] * 7)[1:7]
    if code and category and code.value == category.value == TISSUE.value:
        code = category = None
    if is_anatomical(category):
        category = None
    return Structure(name, value, colour, code, category, laterality_of(modifier) or laterality_of(side))


def _code(triple: str) -> CodedConcept | None:
    scheme, value, meaning = (*triple.split("^"), "", "", "")[:3]
    return CodedConcept(value, scheme, meaning) if scheme and value else None


def _colour(text: str, place: int) -> Colour:
    parts = [float(part) for part in text.split()]
    if len(parts) != 3:
        return palette_colour(place)
    red, green, blue = (round(255 * min(max(part, 0.0), 1.0)) for part in parts)
    return red, green, blue


def _distinct(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
