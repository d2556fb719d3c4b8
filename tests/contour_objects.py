"""Structure sets made by hand, and structures whose contours are hard to get right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
from dicom_factories import Grid, only_series, write_series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme, Structure, palette_colour
from medseg.core.segmentation import Segmentation
from medseg.core.volume import MultiLabelMap
from medseg.io.dicom_result import Algorithm, ResultHeader, SourceSeries, read_source

HEADER = ResultHeader("1.2.3", "1.2.3.4", 9, "contours", Algorithm("net", "1.0"), datetime(2020, 1, 2, tzinfo=UTC))
Contour = tuple[str, object]
"""A kind, and points in LPS millimetres or contour data as it is to stand in the file."""


def square(low=(1, 1), high=(4, 3), k: float = 0, grid: Geometry | None = None) -> np.ndarray:
    """Corners around the pixels from ``low`` to ``high`` of a slice, half a pixel away; LPS millimetres."""
    (a, b), (c, d) = np.array(low) - 0.5, np.array(high) + 0.5
    return in_patient([(a, b, k), (c, b, k), (c, d, k), (a, d, k)], grid)


def in_patient(voxels: Sequence[Sequence[float]], grid: Geometry | None = None) -> np.ndarray:
    """Voxel indices of a grid (that of ``Grid()`` if none is given) as LPS millimetres."""
    affine = Grid().affine if grid is None else grid.affine
    return (np.array(voxels, dtype=float) @ affine[:3, :3].T + affine[:3, 3]) * (-1, -1, 1)


def grid_of(grid: Grid) -> Geometry:
    return Geometry((grid.columns, grid.rows, grid.slices), grid.affine)


def structure_set(rois: Mapping[str, Sequence[Contour]]) -> Dataset:
    """Structures numbered from 1, each with its contours; none means that it has no item for contours."""
    dataset = Dataset()
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality = "RTSTRUCT"
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber = number
        roi.add_new("ROIName", "UT", name)
        dataset.StructureSetROISequence.append(roi)
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = [_contour(kind, data) for kind, data in contours]
        if contours:
            dataset.ROIContourSequence.append(drawn)
    return dataset


def write_set(path: Path, dataset: Dataset) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def source_of(folder: Path, grid: Grid) -> SourceSeries:
    """A CT series on that grid."""
    write_series(folder, grid)
    return read_source(only_series(folder))


def hard_structures(grid: Geometry) -> Segmentation:
    """A tumour with holes, a ring around an island, single voxels at corners, two parts, nothing; they overlap."""
    i, j, k = np.indices(grid.shape) / np.reshape(grid.shape, (3, 1, 1, 1))
    noise = np.random.default_rng(0).random(grid.shape)
    tumour = (((i - 0.4) / 0.3) ** 2 + ((j - 0.5) / 0.35) ** 2 + ((k - 0.5) / 0.4) ** 2 < 1) & (noise > 0.08)
    radius = np.hypot(i - 0.6, j - 0.4)
    ring = (radius < 0.35) & (radius > 0.2) & (k > 0.2) & (k < 0.8) | (radius < 0.06)
    single = np.zeros(grid.shape, dtype=bool)
    single[0, 0, 0] = single[-1, -1, -1] = single[5, 6, 1] = single[6, 7, 1] = True
    two = (i < 0.2) & (j < 0.3) | (i > 0.7) & (j > 0.6) & (k > 0.5)
    masks = {"tumour": tumour, "ring": ring, "single": single, "two": two, "nothing": np.zeros_like(two)}
    structures = tuple(Structure(name, value, palette_colour(value)) for value, name in enumerate(masks, start=1))
    scheme = LabelScheme(structures, overlapping=True)
    return Segmentation(MultiLabelMap(np.stack(list(masks.values())), grid, scheme.names), scheme)


def _contour(kind: str, data: object) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = kind
    if isinstance(data, np.ndarray):
        contour.NumberOfContourPoints = len(data)
        contour.ContourData = [f"{value:.6f}"[:16] for value in data.ravel()]
    else:
        contour.add_new("ContourData", "UT", data)  # which pydicom does not look at
    return contour
