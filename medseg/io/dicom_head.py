"""What every DICOM object of results says before its content: patient, study, series, equipment."""

from __future__ import annotations

from pydicom.dataset import Dataset

from medseg.core.errors import StudyError

from .dicom_codes import plain_text
from .dicom_elements import quietly
from .dicom_result import ResultHeader, SourceSeries

MANUFACTURER = "medseg"
_KEPT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize"),
    *("PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("LongitudinalTemporalInformationModified", "ClinicalTrialSponsorName", "ClinicalTrialProtocolID"),
    *("ClinicalTrialSubjectID", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber"),
    *("IssuerOfAccessionNumberSequence", "ReferringPhysicianName", "StudyDescription"),
)
_NEVER_MISSING = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_UTF8 = "ISO_IR 192"


def result_head(source: SourceSeries, header: ResultHeader, number: int = 1) -> Dataset:
    """Patient, study, series and equipment of the result's instance of that number, in UTF-8.

    Patient and study are those of the source (PS3.3 sections C.7.1 and C.7.2), what is type 2 and missing there is
    empty. SOP class and modality are left to the caller.
    """
    dataset = Dataset()
    first = source.headers[0]
    with quietly():
        list(first.iterall())  # decodes all texts, which are encoded anew
        for keyword in _KEPT:
            if keyword in first:
                dataset[keyword] = first[keyword]
        for keyword in _NEVER_MISSING:
            if keyword not in dataset:
                setattr(dataset, keyword, None)
        dataset.SpecificCharacterSet = _UTF8
        dataset.SOPInstanceUID = header.instance(number)
        dataset.SeriesInstanceUID = header.series_uid
        dataset.SeriesNumber = header.series_number
        dataset.InstanceNumber = number
        dataset.SeriesDescription = plain_text(header.description)
        dataset.Manufacturer = MANUFACTURER
        dataset.ManufacturerModelName = plain_text(header.algorithm.name)
        dataset.SoftwareVersions = plain_text(header.algorithm.version)
        dataset.InstanceCreationDate = dataset.SeriesDate = dataset.ContentDate = f"{header.made:%Y%m%d}"
        dataset.InstanceCreationTime = dataset.SeriesTime = dataset.ContentTime = f"{header.made:%H%M%S.%f}"
    return dataset


def sop_class(header: Dataset) -> str:
    """The SOP class of an instance of the source.

    Raises:
        StudyError: If it says none.
    """
    uid = str(header.get("SOPClassUID") or "")
    if not uid:
        raise StudyError("a file names no SOP class, so no DICOM object can refer to it; write NIfTI or NRRD instead")
    return uid
