from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydicom.datadict import tag_for_keyword

from medseg.config.deid import DeidProfile, Mode, Option, Unlisted
from medseg.deid.policy import Action, Policy, effective_vr, is_never_kept

CT = "1.2.840.10008.5.1.4.1.1.2"
TOP = SimpleNamespace(sop_class=CT, modality="CT", is_top=True)
NESTED = SimpleNamespace(sop_class=CT, modality="CT", is_top=False)


def policy(*options, **fields):
    return Policy(DeidProfile(options=frozenset(options), **fields))


def action(keyword, vr, *options, place=TOP, **fields):
    return policy(*options, **fields).action(tag_for_keyword(keyword), vr, place)


@pytest.mark.parametrize(
    ("keyword", "vr", "expected"),
    [
        ("PatientName", "PN", Action.PSEUDONYM),
        ("PatientID", "LO", Action.PSEUDONYM),
        ("AccessionNumber", "SH", Action.PSEUDONYM),
        ("PatientBirthDate", "DA", Action.EMPTY),
        ("StudyInstanceUID", "UI", Action.MAP_UID),
        ("InstitutionAddress", "ST", Action.REMOVE),
        ("ContentSequence", "SQ", Action.DUMMY),
        ("SourceImageSequence", "SQ", Action.WALK),
        ("StudyDate", "DA", Action.EMPTY),
        ("TimezoneOffsetFromUTC", "SH", Action.REMOVE),
        ("Rows", "US", Action.KEEP),
        ("Manufacturer", "LO", Action.KEEP),
        ("SegmentLabel", "LO", Action.WORDS),
        ("SOPClassUID", "UI", Action.KEEP),
        ("TargetFrameOfReferenceUID", "UI", Action.MAP_UID),
        ("PixelData", "OW", Action.KEEP),
        ("ICCProfile", "OB", Action.REMOVE),
        ("DerivationCodeSequence", "SQ", Action.WALK),
    ],
)
def test_the_basic_profile(keyword, vr, expected):
    assert action(keyword, vr) is expected


@pytest.mark.parametrize(
    ("keyword", "vr", "option", "expected"),
    [
        ("StudyInstanceUID", "UI", Option.RETAIN_UIDS, Action.KEEP),
        ("TargetFrameOfReferenceUID", "UI", Option.RETAIN_UIDS, Action.KEEP),
        ("StudyDate", "DA", Option.RETAIN_FULL_DATES, Action.KEEP),
        ("StudyDate", "DA", Option.RETAIN_MODIFIED_DATES, Action.SHIFT),
        ("TimezoneOffsetFromUTC", "SH", Option.RETAIN_FULL_DATES, Action.KEEP),
        ("TimezoneOffsetFromUTC", "SH", Option.RETAIN_MODIFIED_DATES, Action.REMOVE),
        ("StudyDescription", "LO", Option.CLEAN_DESCRIPTORS, Action.WORDS),
        ("RequestAttributesSequence", "SQ", Option.CLEAN_DESCRIPTORS, Action.WALK),
        ("DeviceSerialNumber", "LO", Option.RETAIN_DEVICE_IDENTITY, Action.KEEP),
        ("InstitutionName", "LO", Option.RETAIN_INSTITUTION_IDENTITY, Action.KEEP),
        ("PatientAge", "AS", Option.RETAIN_PATIENT_CHARACTERISTICS, Action.KEEP),
        ("ContentSequence", "SQ", Option.CLEAN_STRUCTURED_CONTENT, Action.CONTENT),
        ("GraphicAnnotationSequence", "SQ", Option.CLEAN_GRAPHICS, Action.GRAPHICS),
        ("FrameReferenceTime", "DS", Option.RETAIN_FULL_DATES, Action.KEEP),
    ],
)
def test_options(keyword, vr, option, expected):
    assert action(keyword, vr, option) is expected


def test_a_device_s_dates_move_with_the_patient_s():
    options = (Option.RETAIN_DEVICE_IDENTITY, Option.RETAIN_MODIFIED_DATES)
    assert action("DateOfLastCalibration", "DA", *options) is Action.SHIFT


def test_compound_codes_follow_the_iod():
    # PS3.3 section A.3: in a CT image, Operators' Name is type 3, Acquisition Date type 3, Content Date type 2 or 3.
    assert action("OperatorsName", "PN") is Action.REMOVE
    assert action("OperatorsName", "PN", place=NESTED) is Action.DUMMY
    unknown = SimpleNamespace(sop_class="1.2.3", modality="CT", is_top=True)
    assert action("OperatorsName", "PN", place=unknown) is Action.DUMMY


def test_return_mode_keeps_patient_study_and_references():
    for keyword, vr in (("PatientName", "PN"), ("StudyDate", "DA"), ("SOPInstanceUID", "UI"), ("SeriesDate", "DA")):
        assert action(keyword, vr, mode=Mode.RETURN) is Action.KEEP
    assert action("InstitutionAddress", "ST", mode=Mode.RETURN) is Action.REMOVE
    assert action("PatientName", "PN", mode=Mode.RETURN, place=NESTED) is Action.PSEUDONYM


def test_the_allow_list_drops_what_it_does_not_name():
    fields = {"unlisted": Unlisted.ALLOW_LIST}
    assert action("Rows", "US", **fields) is Action.KEEP
    assert action("SpecificCharacterSet", "CS", **fields) is Action.KEEP
    assert action("PixelSpacing", "DS", **fields) is Action.KEEP
    assert action("CornealTopographyMapQualityEvaluation", "CS", **fields) is Action.REMOVE
    assert action("CornealTopographyMapQualityEvaluation", "CS") is Action.KEEP


@pytest.mark.parametrize(
    ("keyword", "vr", "effective"),
    [
        ("PatientName", "UN", "PN"), ("PatientName", None, "PN"), ("PatientName", "OB", None), ("Rows", "LO", None),
        ("PixelData", None, "OB"), ("PixelData", "OW", "OW"), ("SmallestImagePixelValue", "SS", "SS"),
        ("StudyDescription", "SH", "SH"), ("KVP", "IS", "IS"), ("Modality", "LO", None),
    ],
)  # fmt: skip
def test_a_representation_that_contradicts_the_dictionary_counts_for_nothing(keyword, vr, effective):
    assert effective_vr(tag_for_keyword(keyword), vr) == effective


def test_unknown_attributes_go_but_for_those_that_a_newer_table_lists():
    assert effective_vr(0x00080FFF, "LO") is None
    assert policy().action(0x00080FFF, "LO", TOP) is Action.REMOVE
    assert effective_vr(0x00100041, "SQ") == "SQ"
    assert policy().action(0x00100041, "SQ", TOP) is Action.REMOVE
    assert policy(Option.RETAIN_PATIENT_CHARACTERISTICS).action(0x00102162, "UN", TOP) is Action.REMOVE


@pytest.mark.parametrize("tag", [0x00100000, 0x60003000, 0x60020010, 0x50003000, 0xFFFCFFFC, 0x00041400, 0x00020016])
def test_some_groups_never_stay(tag):
    assert is_never_kept(tag)
    assert policy(Option.CLEAN_GRAPHICS).action(tag, None, TOP) is Action.REMOVE


def test_a_value_that_may_not_stay_leaves_an_object_that_conforms():
    chosen = policy()
    assert chosen.fallback(tag_for_keyword("Manufacturer"), TOP) is Action.EMPTY
    assert chosen.fallback(tag_for_keyword("SequenceName"), TOP) is Action.REMOVE
    assert chosen.fallback(tag_for_keyword("SegmentLabel"), NESTED) is Action.DUMMY
    assert chosen.fallback(tag_for_keyword("StudyDate"), TOP) is Action.EMPTY


def test_unlisted_dates_follow_the_dates():
    tag = tag_for_keyword("ScheduledStudyStartDate")
    assert policy().action(tag, "DA", TOP) is Action.REMOVE
    assert policy().action(tag, "DA", NESTED) is Action.REMOVE
    unlisted = tag_for_keyword("DateOfGainCalibration")
    assert policy().action(unlisted, "DA", TOP) is Action.REMOVE
    assert policy().action(unlisted, "DA", NESTED) is Action.DUMMY
    assert policy(Option.RETAIN_FULL_DATES).action(unlisted, "DA", TOP) is Action.KEEP
    assert policy(Option.RETAIN_MODIFIED_DATES).action(unlisted, "DA", TOP) is Action.SHIFT


@pytest.mark.parametrize("keyword", ["EncryptedAttributesSequence", "MACParametersSequence", "ICCProfile"])
def test_what_cannot_be_looked_into_never_stays(keyword):
    assert action(keyword, "SQ", Option.CLEAN_DESCRIPTORS) is Action.REMOVE


@pytest.mark.parametrize(
    ("keyword", "vr"), [("PixelData", "OW"), ("FloatPixelData", "OF"), ("DoubleFloatPixelData", "OD")]
)
def test_pixels_inside_of_a_sequence_which_nothing_searches_for_text_go(keyword, vr):
    assert action(keyword, vr) is Action.KEEP
    assert action(keyword, vr, place=NESTED) is Action.REMOVE
    assert action(keyword, vr, place=NESTED, unlisted=Unlisted.ALLOW_LIST) is Action.REMOVE
    assert action("WaveformData", "OW", place=NESTED) is Action.KEEP


def test_a_body_part_is_a_text_whatever_its_representation():
    assert action("BodyPartExamined", "CS") is Action.WORDS
