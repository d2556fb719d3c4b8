"""DICOM segmentations for tests: a small source series, what was found in it, and files with one thing changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
from dicom_factories import OBLIQUE, Grid, only_series, write_series
from factories import scheme
from pydicom.dataset import Dataset

from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io.dicom_result import Algorithm, ResultHeader, SourceSeries, read_source
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_write import write_segmentation

HEADER = ResultHeader(
    series_uid="2.25.1001",
    instance_uid="2.25.1002",
    series_number=70,
    description="organs by medseg",
    algorithm=Algorithm("organs", "1.2"),
    made=datetime(2026, 3, 4, 5, 6, 7),  # noqa: DTZ001 - as DICOM has it
)


def source_series(folder: Path, grid: Grid = OBLIQUE, *, fill_gaps=False, **elements: object) -> SourceSeries:
    """A CT series on disk, as results refer to it."""
    write_series(folder / "source", grid, **elements)
    return read_source(only_series(folder / "source", fill_gaps=fill_gaps), fill_gaps=fill_gaps)


def found_labels(source: SourceSeries, labels: LabelScheme | None = None, seed=0) -> Segmentation:
    """A random label map on the source's grid."""
    labels = labels or scheme("liver", "left kidney", "cyst")
    values = np.random.default_rng(seed).choice(np.array([0, 0, *labels.values]), source.geometry.shape)
    return Segmentation(LabelMap(values.astype(np.uint16), source.geometry), labels)


def found_masks(source: SourceSeries, names=("liver", "tumour"), seed=0) -> Segmentation:
    """Random masks that overlap."""
    masks = np.random.default_rng(seed).random((len(names), *source.geometry.shape)) < 0.4
    return Segmentation(MultiLabelMap(masks, source.geometry, names), scheme(*names))


def written(folder: Path, form=SegmentationForm.BINARY, grid: Grid = OBLIQUE) -> tuple[Path, Segmentation]:
    """A segmentation file, and what it was made from."""
    source = source_series(folder, grid)
    segmentation = found_labels(source)
    write_segmentation(folder / "seg.dcm", segmentation, source, HEADER, form)
    return folder / "seg.dcm", segmentation


def changed(path: Path, change: Callable[[Dataset], object]) -> Path:
    """The file after ``change`` has had its way with its data set."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    return path


def voxel_counts(segmentation: Segmentation) -> dict[str, int]:
    """Voxels of each structure."""
    return {structure.name: int(mask.sum()) for structure, mask in segmentation.masks()}
