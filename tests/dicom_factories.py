"""DICOM series written for tests: known voxels on a known grid, and every way to break them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from medseg.core.volume import Volume
from medseg.io.dicom_read import read_series
from medseg.io.studies import Series, find_series

MARKER = "MARKER"
"""Stands in every identifying element; must not show in any message."""


@dataclass(frozen=True)
class Grid:
    """The grid that a series is written on: LPS, as DICOM says it."""

    columns: int = 9
    rows: int = 7
    slices: int = 5
    spacing: tuple[float, float, float] = (0.75, 1.25, 2.5)
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    origin: tuple[float, float, float] = (-31.5, 12.25, 40.0)

    @property
    def directions(self) -> np.ndarray:
        """Columns: along a row, down a column, along the normal."""
        turned = np.eye(3)
        for axis, degrees in enumerate(self.tilt_degrees):
            angle = np.deg2rad(degrees)
            one, two = [other for other in range(3) if other != axis]
            turn = np.eye(3)
            turn[one, one] = turn[two, two] = np.cos(angle)
            turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
            turned = turn @ turned
        return turned

    @property
    def affine(self) -> np.ndarray:
        """Voxel indices to RAS millimetres."""
        lps = np.eye(4)
        lps[:3, :3] = self.directions * self.spacing
        lps[:3, 3] = self.origin
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps

    def position(self, k: float) -> np.ndarray:
        return np.array(self.origin) + self.directions[:, 2] * self.spacing[2] * k


OBLIQUE = Grid(tilt_degrees=(12.0, -25.0, 7.0))


def voxels(grid: Grid, low=-1000, high=2000, seed=0, dtype=np.int16) -> np.ndarray:
    """Random stored values, shape ``(i, j, k)``."""
    shape = (grid.columns, grid.rows, grid.slices)
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def series_datasets(grid: Grid, stored: np.ndarray, modality="CT", **elements: object) -> list[Dataset]:
    """One data set a slice, in order; ``elements`` by keyword go into each."""
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    frame_of_reference = generate_uid()
    datasets = []
    for k in range(grid.slices):
        dataset = _base(modality, uids, frame_of_reference)
        set_pixels(dataset, stored[:, :, k].T)
        dataset.ImagePositionPatient = [_decimal(value) for value in grid.position(k)]
        dataset.ImageOrientationPatient = [_decimal(value) for value in grid.directions[:, :2].T.ravel()]
        dataset.PixelSpacing = [_decimal(grid.spacing[1]), _decimal(grid.spacing[0])]
        dataset.SliceThickness = "1.0"
        dataset.SpacingBetweenSlices = "99.0"
        dataset.InstanceNumber = str((k * 37) % grid.slices + 1)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        datasets.append(dataset)
    return datasets


def write_files(folder: Path, datasets: Sequence[Dataset], syntax: UID = ExplicitVRLittleEndian) -> list[Path]:
    """Write the data sets under names whose order says nothing of theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(datasets):
        path = folder / f"{(number * 7919 + 3) % 1009:04d}-{number}-{MARKER}.bin"
        write_file(path, dataset, syntax)
        paths.append(path)
    return paths


def write_file(path: Path, dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def write_series(
    folder: Path, grid: Grid = OBLIQUE, stored: np.ndarray | None = None, syntax=ExplicitVRLittleEndian, **elements
) -> np.ndarray:
    """Write a CT series; its stored values, shape ``(i, j, k)``."""
    stored = voxels(grid) if stored is None else stored
    write_files(folder, series_datasets(grid, stored, **elements), syntax)
    return stored


def write_changed(folder: Path, change: Callable[[list[Dataset]], list[Dataset] | None], grid: Grid = Grid()) -> None:
    """Write a CT series after ``change`` has had its way with the data sets."""
    datasets = series_datasets(grid, voxels(grid))
    write_files(folder, change(datasets) or datasets)


def only_series(folder: Path, *, fill_gaps=False) -> Series:
    """The one series of a folder."""
    (series,) = find_series(folder, fill_gaps=fill_gaps).series
    return series


def read_folder(folder: Path, *, fill_gaps=False) -> Volume:
    """The volume of the one series of a folder, whether or not its headers look usable."""
    return read_series(only_series(folder, fill_gaps=fill_gaps), fill_gaps=fill_gaps)


def set_pixels(dataset: Dataset, frames: np.ndarray) -> None:
    """Put frames into a data set: shape ``(rows, columns)`` or ``(frames, rows, columns)``."""
    dataset.Rows, dataset.Columns = frames.shape[-2:]
    if frames.ndim == 3:
        dataset.NumberOfFrames = str(len(frames))
    bits = frames.dtype.itemsize * 8
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(np.issubdtype(frames.dtype, np.signedinteger))
    content = np.ascontiguousarray(frames).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"


def enhanced_dataset(grid: Grid, stored: np.ndarray, order: Sequence[int], shared_scale=True) -> Dataset:
    """Enhanced MR: all slices in one file, frames in ``order``, slope k + 1 a slice unless the scale is shared."""
    dataset = _base("MR", {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}, generate_uid())
    dataset.SOPClassUID = EnhancedMRImageStorage
    set_pixels(dataset, stored.transpose(2, 1, 0)[list(order)])
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [_decimal(grid.spacing[1]), _decimal(grid.spacing[0])]
    measures.SliceThickness = "1.0"
    orientation.ImageOrientationPatient = [_decimal(value) for value in grid.directions[:, :2].T.ravel()]
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    if shared_scale:
        shared.PixelValueTransformationSequence = Items([_scale(2, -5)])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PerFrameFunctionalGroupsSequence = Items([_frame_group(grid, k, shared_scale) for k in order])
    return dataset


def _frame_group(grid: Grid, k: int, shared_scale: bool) -> Dataset:
    group, position = Dataset(), Dataset()
    position.ImagePositionPatient = [_decimal(value) for value in grid.position(k)]
    group.PlanePositionSequence = Items([position])
    if not shared_scale:
        group.PixelValueTransformationSequence = Items([_scale(k + 1, k)])
    return group


def _scale(slope: float, intercept: float) -> Dataset:
    scale = Dataset()
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = str(slope), str(intercept), "US"
    return scale


def _base(modality: str, uids: dict[str, str], frame_of_reference: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MRImageStorage if modality == "MR" else CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = uids["StudyInstanceUID"]
    dataset.SeriesInstanceUID = uids["SeriesInstanceUID"]
    dataset.FrameOfReferenceUID = frame_of_reference
    dataset.PatientName = f"{MARKER}^Name"
    dataset.PatientID = f"{MARKER}-ID"
    dataset.IssuerOfPatientID = "hospital"
    dataset.PatientSex = "F"
    dataset.PatientAge = "061Y"
    dataset.Manufacturer = "maker"
    dataset.Modality = modality
    dataset.SeriesDescription = "axial thin"
    dataset.BodyPartExamined = "ABDOMEN"
    return dataset


def _decimal(value: float) -> str:
    """Decimal string of at most 16 characters."""
    return f"{value:.10f}"[:16]
