"""What a segmentation object takes from its source series: patient, study, places and references.

highdicom gets stand-ins for the source images, one a slice and none of them anybody's: it refuses sources whose headers
are incomplete or not quite right, and several multi-frame files. What the sources really say is put in afterwards.
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage
from pydicom.valuerep import format_number_as_ds

from .dicom_codes import person_name
from .dicom_head import result_head, sop_class
from .dicom_result import ResultHeader, SourceSeries, derived_uid

_NEEDED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"),
)
_SERIES = ("BodyPartExamined", "Laterality", "PositionReferenceIndicator")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def stand_ins(source: SourceSeries) -> list[Dataset]:
    """An image without pixels for each k of the source's grid, gaps too; its instance UID ends in k + 1."""
    affine, shape = source.geometry.affine, source.geometry.shape
    spacing = source.geometry.spacing
    row, column = (affine[:3, axis] * _LPS_TO_RAS / spacing[axis] for axis in (0, 1))
    common = Dataset()
    for keyword in _NEEDED:
        setattr(common, keyword, "")
    common.Modality, common.SOPClassUID = "CT", CTImageStorage
    common.StudyInstanceUID = common.SeriesInstanceUID = "2.25.1"
    common.FrameOfReferenceUID = frame_of_reference(source)
    common.Rows, common.Columns = shape[1], shape[0]
    common.ImageOrientationPatient = [format_number_as_ds(float(value)) for value in (*row, *column)]
    common.PixelSpacing = [format_number_as_ds(spacing[1]), format_number_as_ds(spacing[0])]
    common.SliceThickness = common.SpacingBetweenSlices = format_number_as_ds(spacing[2])
    for keyword in _LOSSY:
        if source.headers[0].get(keyword):
            setattr(common, keyword, source.headers[0][keyword].value)
    images = []
    for k in range(shape[2]):
        image = Dataset()
        image.update(common)
        image.SOPInstanceUID = f"2.25.{k + 1}"
        position = (affine[:3, 3] + affine[:3, 2] * k) * _LPS_TO_RAS
        image.ImagePositionPatient = [format_number_as_ds(float(value)) for value in position]
        images.append(image)
    return images


def frame_of_reference(source: SourceSeries) -> str:
    """The source's frame of reference UID; one that stands for its series if it names none."""
    header = source.headers[0]
    said = str(header.get("FrameOfReferenceUID") or "")
    return said or derived_uid(f"{header.SeriesInstanceUID} frame of reference")


def complete(dataset: Dataset, source: SourceSeries, header: ResultHeader) -> None:
    """Put in what highdicom was not told: whose the object is, when it was made, and what it refers to.

    Raises:
        StudyError: If a source file names no SOP class.
    """
    first = source.headers[0]
    dataset.update(result_head(source, header))
    for keyword in _SERIES:
        if first.get(keyword):
            dataset[keyword] = first[keyword]
    dataset.ContentCreatorName = person_name(header.reader) or None
    for item in dataset.ContributingEquipmentSequence:
        item.ContributionDateTime = f"{header.made:%Y%m%d%H%M%S}"
    organization = derived_uid(f"{header.instance_uid} dimensions")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    _refer(dataset, source)


def _refer(dataset: Dataset, source: SourceSeries) -> None:
    """Source images of the object (PS3.3 section C.7.6.1) and of each frame (C.7.6.16.2.6)."""
    references = [_reference(header) for header in source.headers]
    dataset.SourceImageSequence = references
    series = Dataset()
    series.SeriesInstanceUID = source.headers[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = references
    dataset.ReferencedSeriesSequence = [series]
    slices = {one.place: one for one in source.slices}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        one = slices.get(int(UID(image.ReferencedSOPInstanceUID).rpartition(".")[2]) - 1)
        if one is None:
            group.DerivationImageSequence = []
            continue
        replaced = _reference(source.headers[one.file])
        if int(source.headers[one.file].get("NumberOfFrames") or 1) > 1:
            replaced.ReferencedFrameNumber = one.frame + 1
        replaced.PurposeOfReferenceCodeSequence = image.PurposeOfReferenceCodeSequence
        replaced.SpatialLocationsPreserved = "YES"
        group.DerivationImageSequence[0].SourceImageSequence = [replaced]


def _reference(header: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class(header)
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return reference
