"""RT structure sets, which hold structures as contours, as labels on a grid."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import RTStructureSetStorage

from medseg.core.errors import GeometryError, LabelError, ReadError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Structure, palette_colour
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Labels, MultiLabelMap

from .dicom_header import read_header, text
from .limits import LARGEST_DECODED
from .rtstruct_fill import Piece, painted, pieces
from .rtstruct_items import Roi, read_contours, read_rois

_CLASS = 0x00080016
_LARGEST_VALUE = 2**16 - 1

Filled = Sequence[tuple[Piece, ...]]


def is_structure_set(path: Path) -> bool:
    """Whether the file is a DICOM RT structure set, by its SOP class.

    Raises:
        ReadError: If it is DICOM but damaged, or cannot be opened.
    """
    header = read_header(path, (_CLASS,))
    return header is not None and text(header.dataset, _CLASS) == str(RTStructureSetStorage)


def read_structure_set(path: Path, grid: Geometry, names: Collection[str] | None = None) -> Segmentation:
    """The structures of an RT structure set as labels; how contours are filled is said at ``rtstruct_fill.pieces``.

    Structures that overlap give a multi-label map, others a label map. Values are the ROI numbers if these are
    positive and at most 65535, else 1, 2, … in order. Structures without contours are empty. Names that occur twice
    are numbered: ``PTV``, ``PTV 2``. Open contours fill nothing.

    Args:
        path: A file.
        grid: Of the series that the contours were drawn on, its array axes in any order. Whether the set refers to
            that series is not asked.
        names: The structures to read; None for all.

    Raises:
        ReadError: If the file is no structure set, damaged, or larger than the limits.
        LabelError: If a name of ``names`` is not in it, or more than 254 structures are to be read.
        GeometryError: If the contours do not fit the grid.
    """
    rois = read_rois(path)
    scheme = _scheme(rois, names)
    chosen = [roi for roi in rois if roi.name in scheme.names]
    filled = _filled(chosen, grid)
    labels = _label_map(scheme, filled, grid)
    if labels is not None:
        return Segmentation(labels, scheme)
    overlapping = LabelScheme(scheme.structures, overlapping=True)
    return Segmentation(_multi_label_map(overlapping, filled, grid), overlapping)


def _scheme(rois: Sequence[Roi], names: Collection[str] | None) -> LabelScheme:
    is_usable = all(1 <= roi.number <= _LARGEST_VALUE for roi in rois)
    structures = [
        Structure(
            name=roi.name,
            value=roi.number if is_usable else index + 1,
            colour=roi.colour or palette_colour(index),
            code=roi.code,
            category=roi.category,
            laterality=roi.laterality,
        )
        for index, roi in enumerate(rois)
    ]
    missing = sorted(set(names or ()) - {structure.name for structure in structures})
    if missing:
        raise LabelError(f"no structure {missing[0]!r} among the {len(rois)} of the structure set")
    return LabelScheme(tuple(one for one in structures if names is None or one.name in names))


def _filled(rois: Sequence[Roi], grid: Geometry) -> Filled:
    """The voxels of each structure; errors say its number, not its name, which may be anything."""
    filled = []
    for roi, contours in zip(rois, read_contours(rois), strict=True):
        try:
            filled.append(pieces(contours, grid))
        except GeometryError as error:
            raise GeometryError(f"structure number {roi.number}: {error}") from None
    return filled


def _label_map(scheme: LabelScheme, filled: Filled, grid: Geometry) -> Labels | None:
    """A value a voxel; None if structures overlap."""
    dtype = np.uint8 if max(scheme.values) <= 255 else np.uint16
    values: NDArray[np.integer] = np.zeros(grid.shape, dtype=dtype)
    for structure, parts in zip(scheme.structures, filled, strict=True):
        for part in parts:
            under = values[part.box][part.mask]
            if ((under != 0) & (under != structure.value)).any():
                return None
            values[part.box][part.mask] = structure.value
    return LabelMap(values, grid)


def _multi_label_map(scheme: LabelScheme, filled: Filled, grid: Geometry) -> Labels:
    size = len(scheme.structures) * math.prod(grid.shape)
    if size > LARGEST_DECODED:
        raise ReadError(
            f"{len(scheme.structures)} overlapping structures on a grid of {'x'.join(map(str, grid.shape))} voxels are "
            f"more than the limit of {LARGEST_DECODED >> 30} GiB; name those that are needed"
        )
    masks = np.zeros((len(scheme.structures), *grid.shape), dtype=np.bool_)
    for index, parts in enumerate(filled):
        masks[index] = painted(parts, grid.shape)
    return MultiLabelMap(masks, grid, scheme.names)
