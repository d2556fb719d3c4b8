"""Measurements of structures as a DICOM structured report: TID 1500, Measurement Report (PS3.16)."""

# ruff: noqa: PLC0415 - highdicom takes a second to import, and few runs write reports

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from medseg.core.errors import LabelError
from medseg.core.labels import CodedConcept, Structure

from .dicom_codes import ANATOMICAL_STRUCTURE, ARTIFICIAL_INTELLIGENCE, is_anatomical, laterality_code, plain_text
from .dicom_elements import quietly
from .dicom_file import write_dicom
from .dicom_head import MANUFACTURER, result_head, sop_class
from .dicom_result import Making, ResultHeader, SourceSeries, derived_uid

if TYPE_CHECKING:
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        ObservationContext,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

_VOLUME = CodedConcept("118565006", "SCT", "Volume")
_CUBIC_CENTIMETRE = CodedConcept("cm3", "UCUM", "cubic centimeter")
_VOXEL_SUM = CodedConcept("126030", "DCM", "Sum of segmented voxel method for volume")
_PROCEDURE = CodedConcept("363679005", "SCT", "Imaging procedure")
_DEVICE = CodedConcept("121007", "DCM", "Device")
_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime"),
)


@dataclass(frozen=True)
class ReferencedSegmentation:
    """The segmentation object that the measured segments are in; of the same study as the source.

    Attributes:
        sop_class_uid: Segmentation or Label Map Segmentation Storage.
        instance_uid: Its SOP instance UID.
        series_uid: Its series instance UID.
    """

    sop_class_uid: str
    instance_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


@dataclass(frozen=True)
class Measurement:
    """A number that was measured.

    Attributes:
        name: What was measured, such as *Attenuation Coefficient*.
        value: Finite.
        unit: In UCUM.
        derivation: How many values became one, such as *Mean*; None for nothing of the kind.
    """

    name: CodedConcept
    value: float
    unit: CodedConcept
    derivation: CodedConcept | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise LabelError(f"a measurement has the value {self.value}; leave out what could not be measured")


@dataclass(frozen=True)
class StructureMeasurements:
    """What was measured of one structure.

    Attributes:
        structure: What it is.
        segment_number: Its number in the segmentation object, which must describe it even if it is empty.
        volume_ml: Sum of its voxels' volumes; 0 for an empty structure.
        others: Further measurements.
        tracking_uid: Of the segment; None to make one from the report's header.
    """

    structure: Structure
    segment_number: int
    volume_ml: float
    others: tuple[Measurement, ...] = ()
    tracking_uid: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.volume_ml) and self.volume_ml >= 0):
            raise LabelError(f"a structure has the volume {self.volume_ml} ml; it must be 0 or positive")


def write_measurement_report(
    path: Path,
    measurements: Sequence[StructureMeasurements],
    source: SourceSeries,
    header: ResultHeader,
    segmentation: ReferencedSegmentation,
) -> None:
    """Write a Comprehensive 3D SR with a measurement group a structure (TID 1411), in their order.

    Each group refers to the segment and to the source series. The finding is the structure's code; an anatomical
    structure is also the finding site, with its side. A structure without a code has no finding: its name stands in the
    tracking identifier, and nothing is claimed in codes. The report is complete and unverified.

    Args:
        path: The file.
        measurements: At least one.
        source: What was segmented; patient and study are its.
        header: UIDs, number and time; the same header gives the same file.
        segmentation: Where the segments are.

    Raises:
        LabelError: If there is no measurement.
        StudyError: If a file of the source names no SOP class.
        OutputError: If the file cannot be written.
        DeidError: If a value of the source cannot be encoded.
    """
    from highdicom.sr import Comprehensive3DSR, MeasurementReport

    if not measurements:
        raise LabelError("there is no structure to report on")
    with quietly():
        content = MeasurementReport(
            observation_context=_observer(header),
            procedure_reported=_code(_PROCEDURE),
            imaging_measurements=[_group(one, source, header, segmentation) for one in measurements],
        )
        report = Comprehensive3DSR(
            evidence=_evidence(source, segmentation),
            content=content[0],
            series_instance_uid=header.series_uid,
            series_number=header.series_number,
            sop_instance_uid=header.instance_uid,
            instance_number=1,
            is_complete=True,
        )
        dataset = Dataset()
        dataset.update(report)
        dataset.update(result_head(source, header))
        for tool in dataset.ContributingEquipmentSequence:
            tool.ContributionDateTime = f"{header.made:%Y%m%d%H%M%S.%f}"
    write_dicom(dataset, str(ExplicitVRLittleEndian), path)


def _group(
    measured: StructureMeasurements, source: SourceSeries, header: ResultHeader, segmentation: ReferencedSegmentation
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    from highdicom import sr

    structure = measured.structure
    volume = Measurement(_VOLUME, measured.volume_ml, _CUBIC_CENTIMETRE)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=measured.tracking_uid or header.instance(measured.segment_number + 1), identifier=structure.name
        ),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=segmentation.sop_class_uid,
            sop_instance_uid=segmentation.instance_uid,
            segment_number=measured.segment_number,
            source_series=sr.SourceSeriesForSegmentation(str(source.headers[0].SeriesInstanceUID)),
        ),
        finding_category=_code(structure.category or ANATOMICAL_STRUCTURE) if structure.code else None,
        finding_type=_code(structure.code) if structure.code else None,
        finding_sites=_sites(structure),
        algorithm_id=None if header.making(structure.name) is Making.MANUAL else _algorithm(header),
        measurements=[_measurement(volume, _VOXEL_SUM), *(_measurement(one, None) for one in measured.others)],
    )


def _measurement(measurement: Measurement, method: CodedConcept | None) -> Any:
    from highdicom.sr import Measurement as Item

    return Item(
        name=_code(measurement.name),
        value=measurement.value,
        unit=_code(measurement.unit),
        derivation=_code(measurement.derivation) if measurement.derivation else None,
        method=_code(method) if method else None,
    )


def _sites(structure: Structure) -> list[FindingSite] | None:
    """The organ itself with its side; where a lesion lies is not known."""
    from highdicom.sr import FindingSite as Site

    if structure.code is None or not is_anatomical(structure.category):
        return None
    side = None if structure.laterality is None else _code(laterality_code(structure.laterality))
    return [Site(anatomic_location=_code(structure.code), laterality=side)]


def _observer(header: ResultHeader) -> ObservationContext:
    from highdicom import sr

    algorithm = header.algorithm
    uid = derived_uid(f"{MANUFACTURER} {algorithm.name} {algorithm.version}")
    device = sr.DeviceObserverIdentifyingAttributes(uid=uid, name=algorithm.name, manufacturer_name=MANUFACTURER)
    observer = sr.ObserverContext(observer_type=_code(_DEVICE), observer_identifying_attributes=device)
    return sr.ObservationContext(observer_device_context=observer)


def _algorithm(header: ResultHeader) -> AlgorithmIdentification:
    from highdicom.sr import AlgorithmIdentification as Identification

    return Identification(
        name=header.algorithm.name, version=header.algorithm.version, family=_code(ARTIFICIAL_INTELLIGENCE)
    )


def _evidence(source: SourceSeries, segmentation: ReferencedSegmentation) -> list[Dataset]:
    """What the report is about, without the patient: highdicom refuses odd values, and logs odd names."""
    first = source.headers[0]
    instances = [(sop_class(one), str(one.SOPInstanceUID), str(one.SeriesInstanceUID)) for one in source.headers]
    evidence = []
    for kind, instance, series in (
        *instances,
        (segmentation.sop_class_uid, segmentation.instance_uid, segmentation.series_uid),
    ):
        item = Dataset()
        for keyword in _EMPTY:
            setattr(item, keyword, None)
        item.StudyInstanceUID, item.SeriesInstanceUID = first.StudyInstanceUID, series
        item.SOPClassUID, item.SOPInstanceUID = kind, instance
        evidence.append(item)
    return evidence


def _code(concept: CodedConcept) -> Any:
    from highdicom.sr import CodedConcept as Code

    return Code(concept.value, concept.scheme, plain_text(concept.meaning))
