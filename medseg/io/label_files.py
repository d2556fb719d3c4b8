"""The one door to files of outlines: label maps, DICOM segmentations and structure sets, 3D Slicer's, surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import assert_never

import numpy as np

from medseg.core.anatomy import colours_of, name_key
from medseg.core.errors import InputError, LabelError, ReadError, StudyError
from medseg.core.files import existing
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Structure
from medseg.core.matching import matched, painted, relabelled
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Labels, MultiLabelMap

from .dicom_seg_file import is_segmentation, open_segmentation
from .dicom_seg_read import read_segmentation
from .formats import Format, read_label_map, read_labels, read_volume, sniff
from .label_values import as_label_map, as_multi_label_map
from .limits import decoding
from .listing import list_files
from .mesh_read import read_surfaces
from .rtstruct_items import Roi, read_rois
from .rtstruct_read import is_structure_set, read_structure_set
from .slicer_nrrd import is_slicer_nrrd, read_slicer_nrrd

SURFACES = (".stl", ".obj")
"""Suffixes of surfaces."""


class OutlineKind(Enum):
    """What a file of outlines is."""

    VALUES = "label map"
    SEGMENTATION = "DICOM segmentation"
    STRUCTURE_SET = "DICOM structure set"
    SLICER = "3D Slicer segmentation"
    SURFACES = "surfaces"


def outline_kind(path: Path) -> tuple[OutlineKind, Path]:
    """What a file or folder of outlines is, and the file itself if a folder holds one DICOM object of outlines.

    Raises:
        InputError: If nothing is there.
        StudyError: If a folder holds several such objects.
    """
    if existing(path).is_dir():
        return _in_folder(path)
    if path.suffix.lower() in SURFACES:
        return OutlineKind.SURFACES, path
    return _object_kind(path) or (OutlineKind.SLICER if is_slicer_nrrd(path) else OutlineKind.VALUES), path


def has_own_grid(path: Path) -> bool:
    """Whether the outlines lie on voxels, so that they can be read without the image."""
    return outline_kind(path)[0] not in (OutlineKind.STRUCTURE_SET, OutlineKind.SURFACES)


def has_whole_grid(path: Path) -> bool:
    """Whether the outlines lie on all voxels of their image; a DICOM segmentation may leave out slices."""
    return outline_kind(path)[0] in (OutlineKind.VALUES, OutlineKind.SLICER)


def read_outlines(path: Path, grid: Geometry | None = None, scheme: LabelScheme | None = None) -> Segmentation:
    """The structures in any file of outlines.

    Files are told apart by content, surfaces (STL, OBJ) by suffix. A folder may hold one DICOM segmentation or
    structure set, among other files; or STL files; or a DICOM series of label values.

    Where the file names its structures and a scheme is given, they are brought to it by ``relabelled``: names that
    differ in writing match, structures that the file lacks are empty, and those that the scheme neither has nor calls
    background are an error. Segments of 3D Slicer of which none is named so are taken by their values.

    Args:
        path: A file or folder.
        grid: Of the image: what contours and surfaces are drawn on, and where the frames of a DICOM segmentation that
            leaves some out are put. A label map keeps its own.
        scheme: What the structures are to be called; None for what the file says. A label map says nothing: its values
            become ``structure 1`` and so on, its masks, if it holds several, likewise.

    Raises:
        InputError: If nothing is there, or contours or surfaces are read without a grid.
        LabelError: If names or values do not fit the scheme, or there is no structure.
        StudyError: If a folder holds several DICOM objects of outlines.
        MedsegError: As the format's own reader.
    """
    kind, file = outline_kind(path)
    if kind is OutlineKind.VALUES:
        return _values(file) if scheme is None else Segmentation(read_labels(file, scheme), scheme)
    if kind is OutlineKind.SLICER:
        return _slicer(file, scheme)
    if kind is OutlineKind.SEGMENTATION:
        found = read_segmentation(file, grid)
    elif grid is None:
        raise InputError(f"a file of {kind.value} has no voxels of its own; name the image that it was drawn on")
    elif kind is OutlineKind.STRUCTURE_SET:
        return _structure_set(file, grid, scheme)
    else:
        found = read_surfaces(file, grid)
    return found if scheme is None else Segmentation(relabelled(found, scheme), scheme)


def named_structures(path: Path) -> tuple[Structure, ...] | None:
    """The structures that a file of outlines names, without their voxels; None for a label map, which names none.

    Raises:
        InputError: If it holds surfaces, which are not named before they are read.
        MedsegError: As ``read_outlines``.
    """
    kind, file = outline_kind(path)
    match kind:
        case OutlineKind.VALUES:
            return None
        case OutlineKind.SLICER:
            return read_slicer_nrrd(file).scheme.structures
        case OutlineKind.SEGMENTATION:
            return open_segmentation(file).segments.scheme.structures
        case OutlineKind.STRUCTURE_SET:
            return _defined(read_rois(file))
        case OutlineKind.SURFACES:
            raise InputError("surfaces do not name their structures; write labels.json to say which count")
        case _:
            assert_never(kind)


def _in_folder(folder: Path) -> tuple[OutlineKind, Path]:
    found = [(kind, file) for file in list_files(folder).files if (kind := _object_kind(file)) is not None]
    if len(found) > 1:
        raise StudyError(f"the folder holds {len(found)} DICOM segmentations or structure sets; name the file of one")
    if found:
        return found[0]
    has_surfaces = any(file.suffix.lower() == SURFACES[0] for file in folder.iterdir())
    return OutlineKind.SURFACES if has_surfaces else OutlineKind.VALUES, folder


def _object_kind(path: Path) -> OutlineKind | None:
    """What DICOM object of outlines a file is; None for other files, damaged ones among them."""
    try:
        if is_segmentation(path):
            return OutlineKind.SEGMENTATION
        return OutlineKind.STRUCTURE_SET if is_structure_set(path) else None
    except ReadError:
        return None


def _values(path: Path) -> Segmentation:
    """A label map or masks that nobody named."""
    if sniff(path) is Format.RASTER:
        labels: Labels = read_label_map(path)
    else:
        volume = read_volume(path)
        names = tuple(f"structure {number}" for number in range(1, len(volume.channels) + 1))
        with decoding(path):
            labels = as_label_map(volume) if len(names) == 1 else as_multi_label_map(volume, names)
    if isinstance(labels, MultiLabelMap):
        scheme = LabelScheme.from_names({name: value for value, name in enumerate(labels.structures, start=1)})
        return Segmentation(labels, replace(scheme, overlapping=True))
    values = np.unique(labels.array[labels.array != 0]).tolist()
    if not values:
        raise LabelError("the label map is empty, so it says nothing of its structures; name them in a labels file")
    return Segmentation(labels, LabelScheme.from_names({f"structure {value}": value for value in values}))


def _slicer(path: Path, scheme: LabelScheme | None) -> Segmentation:
    found = read_slicer_nrrd(path)
    if scheme is None:
        return found
    keys = {name_key(name) for name in scheme.names}
    if keys.isdisjoint(name_key(name) for name in found.scheme.names):
        return Segmentation(read_labels(path, scheme), scheme)
    return Segmentation(relabelled(found, scheme), scheme)


def _structure_set(path: Path, grid: Geometry, scheme: LabelScheme | None) -> Segmentation:
    """Only the structures of the scheme are drawn."""
    if scheme is None:
        return read_structure_set(path, grid)
    names = matched([roi.name for roi in read_rois(path)], scheme)
    if not names:
        return Segmentation(painted([], scheme, grid), scheme)
    return Segmentation(relabelled(read_structure_set(path, grid, tuple(names)), scheme), scheme)


def _defined(rois: Sequence[Roi]) -> tuple[Structure, ...]:
    colours = colours_of([roi.name for roi in rois], [roi.colour for roi in rois])
    return tuple(
        Structure(roi.name, index + 1, colour, roi.code, roi.category, roi.laterality)
        for index, (roi, colour) in enumerate(zip(rois, colours, strict=True))
    )
