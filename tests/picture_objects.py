"""DICOM objects around given pixels, and a stand-in for the text finder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from medseg.deid.boxes import Box
from medseg.io.dicom_file import DicomFile, encode_dicom, read_dicom

CT, ULTRASOUND, CAPTURE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.7"
TEXT_VALUE, LEAST_BRIGHT = 250, 20
"""The stand-in takes so many pixels in a row of at least this brightness for text."""


class BrightFinder:
    """Finds one box around the rows with many bright pixels; counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def find(self, image: np.ndarray) -> list[Box]:
        self.calls += 1
        grey = image if image.ndim == 2 else image.max(axis=2)
        bright = grey >= TEXT_VALUE
        bright[bright.sum(axis=1) < LEAST_BRIGHT] = False
        rows, columns = np.nonzero(bright)
        if rows.size == 0:
            return []
        return [Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)]


class BlindFinder:
    """Finds nothing."""

    def find(self, image: np.ndarray) -> list[Box]:
        return []


class StubbornFinder:
    """Finds text wherever it looks."""

    def __init__(self, box: Box | None = None) -> None:
        self.box = box or Box(2, 2, 6, 6)

    def find(self, image: np.ndarray) -> list[Box]:
        return [self.box]


def picture_dataset(values: np.ndarray, sop_class: str = CAPTURE, **elements: object) -> Dataset:
    """A data set around pixels of shape ``(rows, columns)``, ``(frames, rows, columns)`` or with a last axis of 3."""
    is_colour = values.ndim > 2 and values.shape[-1] == 3
    rows, columns = values.shape[-3:-1] if is_colour else values.shape[-2:]
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality = {CT: "CT", ULTRASOUND: "US"}.get(sop_class, "OT")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = rows, columns
    if values.ndim == 3 + is_colour:
        dataset.NumberOfFrames = str(len(values))
    dataset.SamplesPerPixel = 3 if is_colour else 1
    dataset.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    if is_colour:
        dataset.PlanarConfiguration = 0
    bits = values.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    if sop_class == CT:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    content = np.ascontiguousarray(values).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def as_file(dataset: Dataset, folder: Path, syntax: str = ExplicitVRLittleEndian) -> DicomFile:
    """The data set written by pydicom in an uncompressed transfer syntax, or as it is if compressed, and read by us."""
    path = folder / "object.dcm"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    file = read_dicom(path)
    assert file is not None
    return file


def picture_file(folder: Path, values: np.ndarray, sop_class: str = CAPTURE, **elements: object) -> DicomFile:
    """An object around the pixels, as the pipeline gets it."""
    return as_file(picture_dataset(values, sop_class, **elements), folder)


def pixels_of(file: DicomFile, folder: Path) -> np.ndarray:
    """The pixels as pydicom alone reads them from the written file."""
    return written(file, folder).pixel_array


def written(file: DicomFile, folder: Path) -> Dataset:
    """The object written by us and read by pydicom."""
    path = folder / "written.dcm"
    path.write_bytes(encode_dicom(file.dataset, file.syntax))
    return pydicom.dcmread(path)


def regions(*corners: tuple[int, int, int, int], kind: int = 1) -> Items:
    """Ultrasound regions: x0, y0, x1, y1, the last pixel inside."""
    items = []
    for left, top, right, bottom in corners:
        item = Dataset()
        item.RegionSpatialFormat, item.RegionDataType = kind, 1
        item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
        items.append(item)
    return Items(items)
