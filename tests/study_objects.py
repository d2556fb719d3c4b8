"""One patient's visit as DICOM objects that refer to each other, without any file: CT, RTSTRUCT, SEG, SR.

The objects follow their IODs (PS3.3 sections A.3, A.19, A.51, A.35.3), so that a validator finds nothing to say.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

ROOT = "1.2.826.0.1.3680043.10.998"
ROWS = COLUMNS = 16
_STUDY_COMPONENT_CLASS = "1.2.840.10008.3.1.2.3.2"


@dataclass(frozen=True)
class Visit:
    """What the objects of one time point share."""

    number: int
    date: str
    slices: int = 3

    def uid(self, what: str) -> str:
        """The same UID for the same thing, another for another visit."""
        digits = int.from_bytes(hashlib.sha256(f"{self.number} {what}".encode()).digest()[:9], "big")
        return f"{ROOT}.{self.number + 1}.{digits}"

    def ct_uids(self) -> list[str]:
        return [self.uid(f"ct {k}") for k in range(self.slices)]


def visit_objects(visit: Visit) -> dict[str, Dataset]:
    """All objects of a visit by name: ``ct0``, ``ct1`` ..., ``rtstruct``, ``seg``, ``sr``."""
    slices = {f"ct{k}": ct_slice(visit, k) for k in range(visit.slices)}
    return {**slices, "rtstruct": structure_set(visit), "seg": segmentation(visit), "sr": report(visit)}


def item(**elements: object) -> Dataset:
    """A data set with these elements, by keyword."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> Items:
    """A code sequence of one item."""
    return Items([item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)])


def reference(sop_class: str, uid: str) -> Dataset:
    """An item that names an instance."""
    return item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid)


def ct_slice(visit: Visit, k: int) -> Dataset:
    """Slice ``k`` of the CT series (PS3.3 section A.3)."""
    dataset = _common(visit, CTImageStorage, visit.ct_uids()[k], "CT", "ct series")
    _add_frame_of_reference(dataset, visit)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber, dataset.AcquisitionNumber = str(k + 1), "1"
    dataset.AcquisitionDate, dataset.AcquisitionTime = visit.date, "101112"
    dataset.ContentDate, dataset.ContentTime = visit.date, "101113"
    dataset.PatientPosition = "HFS"
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.PixelSpacing, dataset.SliceThickness = ["1.5", "1.5"], "5"
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.ImagePositionPatient = ["-12", "-12", str(5 * k)]
    dataset.KVP = "120"
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "-1024", "1", "HU"
    stored = np.random.default_rng(k).integers(0, 2000, (ROWS, COLUMNS)).astype("<u2")
    _add_pixels(dataset, 16, 12)
    dataset.add_new(0x7FE00010, "OW", stored.tobytes())
    return dataset


def structure_set(visit: Visit) -> Dataset:
    """Outlines on the CT slices (PS3.3 section A.19)."""
    dataset = _common(visit, RTStructureSetStorage, visit.uid("rtstruct"), "RTSTRUCT", "rtstruct series")
    _add_frame_of_reference(dataset, visit)
    dataset.OperatorsName = ""
    dataset.StructureSetLabel = "organs"
    dataset.StructureSetDate, dataset.StructureSetTime = visit.date, "111213"
    images = [reference(CTImageStorage, uid) for uid in visit.ct_uids()]
    series = item(SeriesInstanceUID=visit.uid("ct series"), ContourImageSequence=Items(images))
    study = reference(_STUDY_COMPONENT_CLASS, visit.uid("study"))
    study.RTReferencedSeriesSequence = Items([series])
    frame = item(FrameOfReferenceUID=visit.uid("frame"), RTReferencedStudySequence=Items([study]))
    dataset.ReferencedFrameOfReferenceSequence = Items([frame])
    dataset.StructureSetROISequence = Items(
        [
            item(
                ROINumber="1",
                ReferencedFrameOfReferenceUID=visit.uid("frame"),
                ROIName="liver",
                ROIGenerationAlgorithm="MANUAL",
            )
        ]
    )
    contours = [_contour(uid, 5.0 * k) for k, uid in enumerate(visit.ct_uids())]
    dataset.ROIContourSequence = Items(
        [item(ROIDisplayColor=["200", "30", "30"], ReferencedROINumber="1", ContourSequence=Items(contours))]
    )
    dataset.RTROIObservationsSequence = Items(
        [item(ObservationNumber="1", ReferencedROINumber="1", RTROIInterpretedType="ORGAN", ROIInterpreter="")]
    )
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def segmentation(visit: Visit) -> Dataset:
    """A binary segmentation of the CT slices, one frame a slice (PS3.3 section A.51)."""
    dataset = _common(visit, SegmentationStorage, visit.uid("seg"), "SEG", "seg series")
    _add_frame_of_reference(dataset, visit)
    dataset.ManufacturerModelName, dataset.DeviceSerialNumber, dataset.SoftwareVersions = "segmenter", "1", "1.0"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.InstanceNumber = "1"
    dataset.ContentDate, dataset.ContentTime = visit.date, "121314"
    dataset.ContentLabel, dataset.ContentDescription, dataset.ContentCreatorName = "SEGMENTATION", "liver", ""
    dataset.LossyImageCompression = "00"
    dataset.SegmentationType = "BINARY"
    dataset.SegmentSequence = Items([_segment()])
    _add_dimensions(dataset, visit)
    _add_functional_groups(dataset, visit)
    images = [reference(CTImageStorage, uid) for uid in visit.ct_uids()]
    dataset.ReferencedSeriesSequence = Items(
        [item(SeriesInstanceUID=visit.uid("ct series"), ReferencedInstanceSequence=Items(images))]
    )
    dataset.NumberOfFrames = str(visit.slices)
    _add_pixels(dataset, 1, 1)
    mask = np.random.default_rng(9).integers(0, 2, ROWS * COLUMNS * visit.slices)
    bits = np.packbits(mask.astype(np.uint8), bitorder="little").tobytes()
    dataset.add_new(0x7FE00010, "OB", bits + b"\0" * (len(bits) % 2))
    return dataset


def report(visit: Visit) -> Dataset:
    """Measurements on the segmentation, in the manner of TID 1500 (PS3.16), as a Comprehensive SR."""
    dataset = _common(visit, ComprehensiveSRStorage, visit.uid("sr"), "SR", "sr series")
    dataset.InstanceNumber = "1"
    dataset.ContentDate, dataset.ContentTime = visit.date, "131415"
    dataset.ReferencedPerformedProcedureStepSequence = Items()
    dataset.PerformedProcedureCodeSequence = Items()
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.CurrentRequestedProcedureEvidenceSequence = Items([_evidence(visit)])
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ConceptNameCodeSequence = code("126000", "DCM", "Imaging Measurement Report")
    dataset.ContentTemplateSequence = Items([item(MappingResource="DCMR", TemplateIdentifier="1500")])
    dataset.ContentSequence = Items([_observer(), _measurements(visit)])
    return dataset


def content(relation: str, kind: str, name: tuple[str, str, str], **elements: object) -> Dataset:
    """A content item (PS3.3 section C.17.3)."""
    dataset = item(RelationshipType=relation, ValueType=kind, ConceptNameCodeSequence=code(*name))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def _common(visit: Visit, sop_class: str, uid: str, modality: str, series: str) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.PatientName, dataset.PatientID, dataset.IssuerOfPatientID = "Some^One", "number one", "hospital"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19520317", "F", "071Y"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = visit.uid("study"), visit.uid(series)
    dataset.StudyDate, dataset.StudyTime = visit.date, "091011"
    dataset.SeriesDate, dataset.SeriesTime = visit.date, "100000"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "S1", "A1", "Doctor^Who"
    dataset.Modality, dataset.SeriesNumber = modality, "2"
    dataset.Manufacturer = "maker"
    return dataset


def _add_frame_of_reference(dataset: Dataset, visit: Visit) -> None:
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = visit.uid("frame"), ""


def _add_pixels(dataset: Dataset, allocated: int, stored: int) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = 0


def _contour(uid: str, height: float) -> Dataset:
    corners = [(-3, -3), (3, -3), (3, 3), (-3, 3)]
    return item(
        ContourImageSequence=Items([reference(CTImageStorage, uid)]),
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints="4",
        ContourData=[str(value) for x, y in corners for value in (x, y, height)],
    )


def _segment() -> Dataset:
    return item(
        SegmentNumber=1,
        SegmentLabel="liver",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=code("123037004", "SCT", "Anatomical Structure"),
        SegmentedPropertyTypeCodeSequence=code("10200004", "SCT", "Liver"),
    )


def _add_dimensions(dataset: Dataset, visit: Visit) -> None:
    organization = visit.uid("dimensions")
    dataset.DimensionOrganizationSequence = Items([item(DimensionOrganizationUID=organization)])
    pairs = [(0x0062000B, 0x0062000A), (0x00200032, 0x00209113)]
    dataset.DimensionIndexSequence = Items(
        [
            item(DimensionOrganizationUID=organization, DimensionIndexPointer=index, FunctionalGroupPointer=group)
            for index, group in pairs
        ]
    )


def _add_functional_groups(dataset: Dataset, visit: Visit) -> None:
    dataset.SharedFunctionalGroupsSequence = Items(
        [
            item(
                PixelMeasuresSequence=Items([item(PixelSpacing=["1.5", "1.5"], SliceThickness="5")]),
                PlaneOrientationSequence=Items([item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])]),
                SegmentIdentificationSequence=Items([item(ReferencedSegmentNumber=1)]),
            )
        ]
    )
    dataset.PerFrameFunctionalGroupsSequence = Items([_frame(uid, k) for k, uid in enumerate(visit.ct_uids())])


def _frame(uid: str, k: int) -> Dataset:
    source = reference(CTImageStorage, uid)
    source.PurposeOfReferenceCodeSequence = code("121322", "DCM", "Source image for image processing operation")
    derivation = item(SourceImageSequence=Items([source]), DerivationCodeSequence=code("113076", "DCM", "Segmentation"))
    return item(
        FrameContentSequence=Items([item(DimensionIndexValues=[1, k + 1])]),
        PlanePositionSequence=Items([item(ImagePositionPatient=["-12", "-12", str(5 * k)])]),
        DerivationImageSequence=Items([derivation]),
    )


def _evidence(visit: Visit) -> Dataset:
    images = [reference(CTImageStorage, uid) for uid in visit.ct_uids()]
    ct = item(SeriesInstanceUID=visit.uid("ct series"), ReferencedSOPSequence=Items(images))
    segments = [reference(SegmentationStorage, visit.uid("seg"))]
    seg = item(SeriesInstanceUID=visit.uid("seg series"), ReferencedSOPSequence=Items(segments))
    return item(StudyInstanceUID=visit.uid("study"), ReferencedSeriesSequence=Items([ct, seg]))


def _observer() -> Dataset:
    return content("HAS OBS CONTEXT", "PNAME", ("121008", "DCM", "Person Observer Name"), PersonName="Observer^Person")


def _measurements(visit: Visit) -> Dataset:
    segment = reference(SegmentationStorage, visit.uid("seg"))
    segment.ReferencedSegmentNumber = 1
    source = reference(CTImageStorage, visit.ct_uids()[0])
    value = item(NumericValue="12.5", MeasurementUnitsCodeSequence=code("mm3", "UCUM", "cubic millimeter"))
    group = [
        content("HAS OBS CONTEXT", "TEXT", ("112039", "DCM", "Tracking Identifier"), TextValue="liver"),
        content("HAS OBS CONTEXT", "UIDREF", ("112040", "DCM", "Tracking UID"), UID=visit.uid("tracking")),
        content("CONTAINS", "IMAGE", ("121191", "DCM", "Referenced Segment"), ReferencedSOPSequence=Items([segment])),
        content(
            "CONTAINS",
            "IMAGE",
            ("121233", "DCM", "Source image for segmentation"),
            ReferencedSOPSequence=Items([source]),
        ),
        content("CONTAINS", "NUM", ("118565006", "SCT", "Volume"), MeasuredValueSequence=Items([value])),
        content("CONTAINS", "DATETIME", ("111526", "DCM", "DateTime Started"), DateTime=f"{visit.date}121314"),
    ]
    name = ("125007", "DCM", "Measurement Group")
    measured = content("CONTAINS", "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=Items(group))
    return content(
        "CONTAINS",
        "CONTAINER",
        ("126010", "DCM", "Imaging Measurements"),
        ContinuityOfContent="SEPARATE",
        ContentSequence=Items([measured]),
    )
