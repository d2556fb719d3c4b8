"""CT Image Storage instances (PS3.3 section A.3) of generated volumes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medseg.core.geometry import Geometry
from medseg.core.volume import Volume

from .people import Visit

_INTERCEPT = -1024
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class StudyHeader:
    """What all instances of one study share."""

    visit: Visit
    study_uid: str
    frame_of_reference_uid: str


@dataclass(frozen=True)
class SeriesHeader:
    """What all instances of one series share.

    Attributes:
        number: Series number.
        description: Series description.
        kind: Third value of the image type, ``AXIAL`` or ``LOCALIZER``.
    """

    number: int
    description: str
    kind: str


def random_uid(rng: np.random.Generator) -> str:
    """A UID made from a random UUID (PS3.5 section B.2)."""
    return f"2.25.{uuid.UUID(bytes=rng.bytes(16), version=4).int}"


def write_series(
    folder: Path, volumes: Iterable[Volume], study: StudyHeader, series: SeriesHeader, rng: np.random.Generator
) -> None:
    """Write the slices of some volumes as one CT series, one file each.

    Neither file names nor instance numbers follow the slices' positions, as a PACS export may leave them.

    Args:
        folder: Made if it is not there.
        volumes: HU; the array axes are column, row, slice.
        study: The study.
        series: The series.
        rng: For UIDs, file names and instance numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid = random_uid(rng)
    slices = [one for volume in volumes for one in _slices(volume)]
    numbers, names = (rng.permutation(len(slices)) + 1 for _ in range(2))
    for (pixels, geometry), number, name in zip(slices, numbers, names, strict=True):
        header = _header(study, series, uid, int(number))
        _add_plane(header, geometry, study)
        _add_pixels(header, pixels, signed=study.visit.scanner.signed)
        header.SOPInstanceUID = random_uid(rng)
        _save(header, folder / f"IM{name:05d}.dcm")


def _slices(volume: Volume) -> Iterator[tuple[NDArray[np.generic], Geometry]]:
    columns, rows, depth = volume.geometry.shape
    for k in range(depth):
        geometry = volume.geometry.cropped((slice(0, columns), slice(0, rows), slice(k, k + 1)))
        yield volume.array[0, :, :, k].T, geometry


def _header(study: StudyHeader, series: SeriesHeader, series_uid: str, number: int) -> Dataset:
    header = Dataset()
    _add_patient_and_study(header, study)
    header.Modality = "CT"
    header.SeriesInstanceUID = series_uid
    header.SeriesNumber = series.number
    header.SeriesDescription = series.description
    header.BodyPartExamined = "ABDOMEN"
    header.PatientPosition = "HFS"
    header.FrameOfReferenceUID = study.frame_of_reference_uid
    header.PositionReferenceIndicator = ""
    header.ImageType = ["ORIGINAL", "PRIMARY", series.kind]
    header.InstanceNumber = number
    header.AcquisitionNumber = 1
    header.SOPClassUID = CTImageStorage
    _add_equipment(header, study.visit)
    return header


def _add_patient_and_study(header: Dataset, study: StudyHeader) -> None:
    visit, person = study.visit, study.visit.person
    header.PatientName = person.name
    header.PatientID = person.number
    header.PatientBirthDate = f"{person.born:%Y%m%d}"
    header.PatientSex = person.sex
    header.PatientAge = f"{visit.age:03d}Y"
    header.StudyInstanceUID = study.study_uid
    for what in ("Study", "Series", "Acquisition", "Content"):
        setattr(header, f"{what}Date", f"{visit.day:%Y%m%d}")
        setattr(header, f"{what}Time", visit.time)
    header.StudyID = visit.accession[-6:]
    header.AccessionNumber = visit.accession
    header.ReferringPhysicianName = visit.doctor
    header.StudyDescription = "CT abdomen with contrast"


def _add_equipment(header: Dataset, visit: Visit) -> None:
    header.Manufacturer = visit.scanner.manufacturer
    header.ManufacturerModelName = visit.scanner.model
    header.DeviceSerialNumber = visit.scanner.serial
    header.InstitutionName = visit.hospital
    header.ConvolutionKernel = visit.scanner.kernel
    header.KVP = 120
    header.ContrastBolusAgent = "invented agent"


def _add_plane(header: Dataset, geometry: Geometry, study: StudyHeader) -> None:
    affine = _RAS_TO_LPS @ geometry.affine[:3]
    column_step, row_step, slice_step = geometry.spacing
    header.PixelSpacing = [_decimal(row_step), _decimal(column_step)]
    cosines = np.concatenate([affine[:, 0] / column_step, affine[:, 1] / row_step])
    header.ImageOrientationPatient = [_decimal(cosine) for cosine in cosines]
    header.ImagePositionPatient = [_decimal(coordinate) for coordinate in affine[:, 3]]
    header.SliceThickness = _decimal(slice_step * study.visit.scanner.thickness)


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 section 6.2)."""
    return f"{value + 0.0:.9g}"


def _add_pixels(header: Dataset, hu: NDArray[np.generic], *, signed: bool) -> None:
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = hu.shape
    header.BitsAllocated = 16
    header.BitsStored = 16 if signed else 12
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(signed)
    header.RescaleIntercept = _INTERCEPT
    header.RescaleSlope = 1
    header.RescaleType = "HU"
    header.WindowCenter, header.WindowWidth = 40, 400
    header.PixelData = (hu.astype(np.int32) - _INTERCEPT).astype("<i2" if signed else "<u2").tobytes()


def _save(header: Dataset, path: Path) -> None:
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)
