"""Attributes outside the table that stay: none that a person can be named in."""

from importlib.resources import files

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from medseg.core.errors import DeidError
from medseg.deid import technical
from medseg.deid.table import read_table
from medseg.deid.technical import CLASS_UIDS, KEPT_BINARY, KEPT_TEXT, allow_list

TEXT = {"LO", "SH", "ST", "LT", "UC", "UT"}
BINARY = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
MODALITIES = ["CT", "MR", "PT", "US", "CR", "DX", "MG", "XA", "RF", "NM", "OT", "SC", "SEG", "RTSTRUCT", "SR"]
IMAGE = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "ImageType",
    "SpecificCharacterSet",
    "InstanceNumber",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelData",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelSpacing",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SliceLocation",
    "BodyPartExamined",
    "Manufacturer",
    "SoftwareVersions",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "PatientIdentityRemoved",
    "CodeValue",
    "CodingSchemeDesignator",
    "CodeMeaning",
]
OF_MODALITY = {
    "CT": "KVP ConvolutionKernel SpiralPitchFactor GantryDetectorTilt PixelMeasuresSequence",
    "MR": "EchoTime RepetitionTime FlipAngle SequenceName MagneticFieldStrength SpacingBetweenSlices DiffusionBValue",
    "PT": "RescaleType Units DecayCorrection RadiopharmaceuticalInformationSequence RadionuclideHalfLife",
    "US": "SequenceOfUltrasoundRegions RegionLocationMinX0 PhysicalDeltaX FrameTime TransducerData",
    "MG": "ViewPosition ImageLaterality CompressionForce ViewCodeSequence",
    "XA": "PositionerPrimaryAngle PositionerSecondaryAngle FrameTimeVector DistanceSourceToDetector",
    "SEG": """SegmentSequence SegmentNumber SegmentLabel SegmentAlgorithmType SegmentedPropertyTypeCodeSequence
SegmentationType SegmentIdentificationSequence ReferencedSegmentNumber PlanePositionSequence DimensionIndexValues
PerFrameFunctionalGroupsSequence ReferencedSeriesSequence ReferencedSOPInstanceUID DerivationImageSequence""",
    "RTSTRUCT": """StructureSetROISequence ROIContourSequence ROINumber ROIName ContourSequence ContourData
ContourGeometricType NumberOfContourPoints ContourImageSequence ReferencedFrameOfReferenceSequence
RTROIObservationsSequence RTROIInterpretedType ROIDisplayColor ReferencedFrameOfReferenceUID""",
    "SR": "TextValue ContentSequence ValueType ConceptNameCodeSequence MeasuredValueSequence NumericValue",
}
OF_PERSONS = [
    "OtherPatientNames",
    "PatientAddress",
    "LocalNamespaceEntityID",
    "UniversalEntityID",
    "RetrieveURL",
    "EncryptedAttributesSequence",
    "MACParametersSequence",
    "IssuerOfPatientID",
    "PatientSpeciesDescription",
    "TimeSource",
    "NTPSourceAddress",
    "AlgorithmParameters",
    "InstitutionName",
    "StationName",
    "MediaDisposition",
    "RequestedProcedureDescription",
    "ConfidentialityCode",
]


def representations(tag):
    return set(dictionary_VR(tag).split(" or "))


def listed():
    return read_table().rules


@pytest.mark.parametrize("tag", sorted(KEPT_TEXT), ids=keyword_for_tag)
def test_kept_text_is_text_outside_the_table(tag):
    assert representations(tag) <= TEXT
    assert tag not in listed()


def test_kept_texts_are_named_by_the_file():
    lines = files("medseg.deid").joinpath("data/technical_text.txt").read_text().splitlines()
    keywords = [line for line in lines if line and not line.startswith("#")]
    assert len(keywords) == len(set(keywords)) == len(KEPT_TEXT)
    assert {tag_for_keyword(keyword) for keyword in keywords} == KEPT_TEXT


def test_no_label_comment_or_description_is_kept():
    kept = {keyword_for_tag(tag) for tag in KEPT_TEXT} - {"PaddleDescription", "ApplicableSafetyStandardDescription"}
    words = (
        "Label",
        "Comment",
        "Description",
        "Explanation",
        "Reason",
        "Address",
        "Institution",
        "Patient",
        "Physician",
    )
    assert [keyword for keyword in kept if any(word in keyword for word in words)] == []


def test_free_texts_are_not_kept():
    free = "CodeMeaning SegmentLabel SegmentDescription TextValue LUTLabel LUTExplanation ContrastBolusRoute TrackingID"
    assert [name for name in free.split() if tag_for_keyword(name) in KEPT_TEXT] == []


@pytest.mark.parametrize("keyword", ["PatientsName", "# comment"])
def test_a_keyword_that_nobody_knows_is_an_error(keyword):
    with pytest.raises(DeidError, match=r"no attribute of pydicom's dictionary"):
        technical._tag(keyword)


def test_class_uids_are_uids_outside_the_table():
    assert all(representations(tag) == {"UI"} and tag not in listed() for tag in CLASS_UIDS)
    named = {keyword_for_tag(tag) for tag in CLASS_UIDS}
    assert all(word.endswith("UID") or "SOPClasses" in word for word in named)
    assert [word for word in named if "Instance" in word and "TransferSyntax" not in word] == []


def test_kept_binary_is_binary_outside_the_table():
    assert all(representations(tag) & BINARY and tag not in listed() for tag in KEPT_BINARY)
    for name in ("EncapsulatedDocument", "ICCProfile", "Signature", "EncryptedContent", "HPGLDocument"):
        assert tag_for_keyword(name) not in KEPT_BINARY


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_all_images_need_is_allowed(modality):
    assert [word for word in IMAGE if tag_for_keyword(word) not in allow_list(modality)] == []


@pytest.mark.parametrize(("modality", "keywords"), OF_MODALITY.items())
def test_what_a_modality_needs_is_allowed(modality, keywords):
    tags = {tag_for_keyword(keyword) for keyword in keywords.split()} - set(listed())
    assert [keyword_for_tag(tag) for tag in tags - allow_list(modality)] == []


@pytest.mark.parametrize("modality", [*MODALITIES, "??"])
def test_what_tells_of_persons_and_places_is_not_allowed(modality):
    tags = {tag_for_keyword(word) for word in OF_PERSONS} - set(listed())
    assert [keyword_for_tag(tag) for tag in tags & allow_list(modality)] == []


@pytest.mark.parametrize("modality", MODALITIES)
def test_allowed_free_text_is_little(modality):
    free = [tag for tag in allow_list(modality) - KEPT_TEXT if representations(tag) & TEXT and tag not in listed()]
    assert len(free) <= 8


def test_an_unknown_modality_gets_the_base():
    assert allow_list("UNKNOWN") == allow_list("")
    assert allow_list("") < allow_list("CT")
