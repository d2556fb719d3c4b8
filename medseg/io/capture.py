"""Pictures of slices as DICOM Secondary Capture series (PS3.3 section A.8), for viewers that know no segmentations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage

from medseg.core.errors import GeometryError, LabelError
from medseg.core.files import atomic_folder, flush_folder, write_staged
from medseg.core.geometry import Geometry
from medseg.core.labels import CodedConcept

from .dicom_codes import code_item
from .dicom_elements import quietly
from .dicom_file import encode_dicom
from .dicom_head import result_head, sop_class
from .dicom_result import ResultHeader, SourceSeries
from .dicom_series import Slice
from .nrrd import LPS_TO_RAS
from .rle import rle_frame

_SOURCE_IMAGE = CodedConcept("121322", "DCM", "Source image for image processing operation")
_SEGMENTATION = CodedConcept("113076", "DCM", "Segmentation")
_LONGEST_DECIMAL = 16
_PIXELS = 0x7FE00010
_COPIED = (
    *("FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)


@dataclass(frozen=True, eq=False)
class SlicePicture:
    """A picture of one slice of the source.

    Attributes:
        place: Its k.
        picture: Red, green and blue, uint8, shape ``(rows, columns, 3)``: j goes down, i goes right.
    """

    place: int
    picture: NDArray[np.uint8]


def write_capture(
    folder: Path, pictures: Iterable[SlicePicture], source: SourceSeries, header: ResultHeader
) -> tuple[Path, ...]:
    """Write one single-frame image a picture, RLE compressed if that is shorter; the folder appears once all are there.

    The images lie where the slices lie, in the source's frame of reference, so that viewers can link both series.

    Args:
        folder: For the files ``00001.dcm``, …, by instance number; replaces what was there.
        pictures: In order; one at a time is in memory. A k that is a filled gap has no slice to show.
        source: The series that the pictures show.
        header: UIDs, description and algorithm.

    Returns:
        The files, in the order of the pictures.

    Raises:
        LabelError: If there is no picture.
        GeometryError: If a picture is not of the source's size, or at a k without a slice.
        StudyError: If a file of the source names no SOP class.
        OutputError: If the files cannot be written.
    """
    slices = {one.place: one for one in source.slices}
    names: list[str] = []
    with atomic_folder(folder) as partial:
        for number, one in enumerate(pictures, start=1):
            _check(one, source.geometry, slices)
            with quietly():
                dataset = _dataset(one, slices[one.place], source, header, number)
                syntax = _set_pixels(dataset, one.picture)
            names.append(f"{number:05d}.dcm")
            write_staged(partial / names[-1], encode_dicom(dataset, syntax))
        if not names:
            raise LabelError("there is no picture to write; take all slices, not only those with structures")
        flush_folder(partial)
    return tuple(folder / name for name in names)


def _check(one: SlicePicture, grid: Geometry, slices: dict[int, Slice]) -> None:
    columns, rows, _ = grid.shape
    if one.picture.shape != (rows, columns, 3) or one.picture.dtype != np.uint8:
        got = f"{one.picture.dtype} {'x'.join(map(str, one.picture.shape))}"
        raise GeometryError(f"a picture is {got}, the source's slices make uint8 {rows}x{columns}x3")
    if one.place not in slices:
        raise GeometryError(f"there is no slice {one.place} in the source to show")


def _dataset(one: SlicePicture, place: Slice, source: SourceSeries, header: ResultHeader, number: int) -> Dataset:
    origin = source.headers[place.file]
    dataset = result_head(source, header, number)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.Laterality = dataset.PatientOrientation = None
    dataset.BurnedInAnnotation = "YES" if origin.get("BurnedInAnnotation") == "YES" else "NO"
    dataset.DerivationDescription = "Outlines of structures drawn on windowed grey values; not for measurements"
    dataset.DerivationCodeSequence = [code_item(_SEGMENTATION)]
    dataset.SourceImageSequence = [_reference(origin, place)]
    for keyword in _COPIED:
        if keyword in origin:
            dataset[keyword] = origin[keyword]
    if "FrameOfReferenceUID" in dataset and "PositionReferenceIndicator" not in dataset:
        dataset.PositionReferenceIndicator = None
    _place(dataset, source.geometry, one.place)
    return dataset


def _reference(origin: Dataset, place: Slice) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class(origin)
    item.ReferencedSOPInstanceUID = origin.SOPInstanceUID
    if int(origin.get("NumberOfFrames") or 1) > 1:
        item.ReferencedFrameNumber = place.frame + 1
    item.PurposeOfReferenceCodeSequence = [code_item(_SOURCE_IMAGE)]
    return item


def _place(dataset: Dataset, grid: Geometry, k: int) -> None:
    """The plane of the picture (PS3.3 section C.7.6.2)."""
    affine = LPS_TO_RAS @ grid.affine
    directions = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    dataset.ImagePositionPatient = [_decimal(value) for value in affine[:3, 3] + affine[:3, 2] * k]
    dataset.ImageOrientationPatient = [_decimal(value) for value in directions.T.ravel()]
    dataset.PixelSpacing = [_decimal(grid.spacing[1]), _decimal(grid.spacing[0])]
    dataset.SliceThickness = _decimal(grid.spacing[2])


def _decimal(value: float) -> str:
    """The nearest decimal string of at most 16 characters (PS3.5 section 6.2)."""
    return next(text for digits in range(16, 0, -1) if len(text := f"{value + 0.0:.{digits}g}") <= _LONGEST_DECIMAL)


def _set_pixels(dataset: Dataset, picture: NDArray[np.uint8]) -> str:
    """Put the pixels in; the transfer syntax that they are in.

    Noise that would become longer stays as it is, also because GDCM does not decode such small pictures.
    """
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = picture.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    frame = rle_frame(picture)
    if len(frame) >= picture.nbytes:
        dataset.PixelData = picture.tobytes() + b"\0" * (picture.nbytes % 2)
        return str(ExplicitVRLittleEndian)
    dataset.add(DataElement(_PIXELS, "OB", encapsulate([frame]), is_undefined_length=True))
    return str(RLELossless)
