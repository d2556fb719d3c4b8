from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from study_objects import Visit, code, ct_slice, item, report

from medseg.config.deid import DeidProfile, Mode, Option, SafePrivate
from medseg.core.errors import DeidError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.elements import bare
from medseg.deid.engine import Engine
from medseg.deid.identity import PatientIdentity
from medseg.deid.policy import Action
from medseg.io.dicom_elements import quietly
from medseg.io.dicom_file import DicomFile, encode_dicom, read_dicom

KEY = ProjectKey(bytes(range(32)))


@pytest.fixture
def clean(tmp_path):
    """Cleans a data set as a file would be: returns the output as pydicom reads it, and what the engine says."""

    def run(dataset, *options, syntax=ExplicitVRLittleEndian, key=KEY, claims=frozenset(), **fields):
        path = tmp_path / "in.dcm"
        path.write_bytes(encode_dicom(dataset, str(syntax)))
        file = read_dicom(path)
        identity = PatientIdentity(*(bare(file.dataset, tag) for tag in (0x00100021, 0x00100020, 0x0020000D)))
        cleaned = Engine(DeidProfile(options=frozenset(options), **fields), key).clean(file, identity, claims)
        content = encode_dicom(cleaned.file.dataset, cleaned.file.syntax)
        return pydicom.dcmread(io.BytesIO(content)), cleaned

    return run


def ct():
    return ct_slice(Visit(0, "20200101"), 0)


def test_the_patient_gets_one_pseudonym(clean):
    output, cleaned = clean(ct())
    assert output.PatientID == str(output.PatientName) == cleaned.patient
    assert KEY.made_name(cleaned.patient)
    assert cleaned.study == KEY.name("study", output.StudyInstanceUID)
    assert cleaned.series == KEY.name("series", output.SeriesInstanceUID)
    assert cleaned.instance == KEY.name("instance", output.SOPInstanceUID)


def test_without_an_id_each_study_is_a_patient(clean):
    first, second = ct(), ct_slice(Visit(1, "20200202"), 0)
    first.PatientID = second.PatientID = ""
    (one, _), (other, _) = clean(first), clean(second)
    assert one.PatientID != other.PatientID
    assert KEY.made_name(one.PatientID)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_pixels_and_what_describes_them_stay(clean, syntax):
    dataset = ct()
    output, _ = clean(dataset, syntax=syntax)
    assert output.file_meta.TransferSyntaxUID == syntax
    assert output.PixelData == dataset.PixelData
    for keyword in ("Rows", "PixelSpacing", "ImagePositionPatient", "RescaleIntercept", "ImageType", "KVP", "Modality"):
        assert output[keyword].value == dataset[keyword].value


def test_it_says_what_was_done(clean):
    output, _ = clean(ct(), Option.RETAIN_MODIFIED_DATES, Option.CLEAN_PIXEL_DATA)
    assert output.PatientIdentityRemoved == "YES"
    assert output.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [code.CodeValue for code in output.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert f"key {KEY.fingerprint}" in output.DeidentificationMethod
    assert "BurnedInAnnotation" not in output


def test_pixel_steps_are_claimed_only_when_done(clean):
    claims = frozenset({Option.CLEAN_PIXEL_DATA, Option.CLEAN_VISUAL_FEATURES})
    output, _ = clean(ct(), claims=claims)
    assert [code.CodeValue for code in output.DeidentificationMethodCodeSequence] == ["113100", "113101", "113102"]
    assert (output.BurnedInAnnotation, output.RecognizableVisualFeatures) == ("NO", "NO")
    assert output.LongitudinalTemporalInformationModified == "REMOVED"


def test_earlier_claims_count_as_far_as_they_can_be_trusted(clean):
    dataset = ct()
    dataset.DeidentificationMethod = "scrubbed by Dr Nettlebaum"
    dataset.DeidentificationMethodCodeSequence = Items([
        item(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning="x") for value in ("113101", "113105", "113106")
    ])  # fmt: skip
    foreign, _ = clean(dataset)
    assert [code.CodeValue for code in foreign.DeidentificationMethodCodeSequence] == ["113100", "113105"]
    assert "Nettlebaum" not in str(foreign)
    done, _ = clean(ct(), claims=frozenset({Option.CLEAN_PIXEL_DATA}))
    again, _ = clean(done)
    assert [code.CodeValue for code in again.DeidentificationMethodCodeSequence] == ["113100", "113101"]


def test_full_dates_after_modified_ones_are_not_called_unmodified(clean):
    modified, _ = clean(ct(), Option.RETAIN_MODIFIED_DATES)
    output, _ = clean(modified, Option.RETAIN_FULL_DATES)
    assert output.LongitudinalTemporalInformationModified == "MODIFIED"
    assert output.StudyDate == modified.StudyDate


def test_dates_kept_in_full_can_be_moved_later_by_the_same_offset(clean):
    full, _ = clean(ct(), Option.RETAIN_FULL_DATES)
    assert (full.StudyDate, full.LongitudinalTemporalInformationModified) == ("20200101", "UNMODIFIED")
    late, _ = clean(full, Option.RETAIN_MODIFIED_DATES)
    once, _ = clean(ct(), Option.RETAIN_MODIFIED_DATES)
    assert late.StudyDate == once.StudyDate != "20200101"


def test_another_key_does_not_take_foreign_dates_for_moved(clean):
    once, _ = clean(ct(), Option.RETAIN_MODIFIED_DATES)
    other, _ = clean(once, Option.RETAIN_MODIFIED_DATES, key=ProjectKey(bytes(32)))
    assert other.StudyDate != once.StudyDate
    assert other.PatientID != once.PatientID


def test_the_return_mode_keeps_patient_study_and_uids_and_claims_nothing(clean):
    dataset = ct()
    dataset.add_new(0x00091001, "LO", "private Nettlebaum")
    dataset.OperatorsName = "Nettlebaum^Otto"
    output, cleaned = clean(dataset, mode=Mode.RETURN)
    for keyword in ("PatientName", "PatientID", "StudyDate", "AccessionNumber", "SOPInstanceUID", "SeriesInstanceUID"):
        assert output[keyword].value == dataset[keyword].value
    assert "PatientIdentityRemoved" not in output
    assert "Nettlebaum" not in str(output)
    assert KEY.made_name(cleaned.patient)


def test_safe_private_attributes_stay_with_their_creator(clean):
    dataset = ct()
    for tag, vr, value in ((0x290010, "LO", "ACME GAIN"), (0x291001, "DS", "1.5"), (0x291002, "LO", "Nettlebaum")):
        dataset.add_new(tag, vr, value)
    safe = (SafePrivate(creator="ACME GAIN", group=0x29, element=1, representation="DS"),)
    output, _ = clean(dataset, Option.RETAIN_SAFE_PRIVATE, safe_private=safe)
    assert [int(one.tag) for one in output if one.tag.is_private] == [0x290010, 0x291001]
    assert output[0x291001].value == 1.5
    without, _ = clean(dataset, Option.RETAIN_SAFE_PRIVATE)
    assert not [one for one in without if one.tag.is_private]


def test_the_items_of_a_safe_private_sequence_are_cleaned(clean):
    dataset = ct()
    dataset.add_new(0x290010, "LO", "ACME GAIN")
    inner = item(OperatorsName="Nettlebaum^Otto", ContentDate="20200101", Rows=3)
    inner.add_new(0x00291002, "LO", "Nettlebaum")
    dataset.add_new(0x291001, "SQ", Items([inner]))
    safe = (SafePrivate(creator="ACME GAIN", group=0x29, element=1, representation="SQ"),)
    output, cleaned = clean(dataset, Option.RETAIN_SAFE_PRIVATE, safe_private=safe)
    (kept,) = output[0x291001].value
    assert kept.Rows == 3
    assert {"Nettlebaum", "20200101"} & set(str(output).replace("'", " ").replace("^", " ").split()) == set()
    assert cleaned.counts[0x291001, Action.WALK] == 1


def test_sequences_are_cleaned_at_every_depth_listed_or_not(clean):
    dataset = ct()
    inner = item(PatientName="Nettlebaum^Otto", Rows=3, SegmentLabel="Liver of Nettlebaum", InstitutionName="Nowhere")
    inner.add_new(0x00091001, "LO", "Nettlebaum")
    dataset.DerivationCodeSequence = Items([item(PurposeOfReferenceCodeSequence=Items([inner]))])
    output, cleaned = clean(dataset)
    kept = output.DerivationCodeSequence[0].PurposeOfReferenceCodeSequence[0]
    assert kept.Rows == 3
    assert kept.SegmentLabel == "Liver of"
    assert str(kept.PatientName) == cleaned.patient
    assert "Nettlebaum" not in str(output)
    assert any(b"Nettlebaum" in one.value for one in cleaned.removed)


def test_a_replaced_sequence_says_nothing_in_one_item(clean):
    dataset = ct()
    person = item(
        PersonIdentificationCodeSequence=code("4711", "L", "Otto N"),
        InstitutionName="Nowhere",
    )
    text = item(UnformattedTextValue="Otto N", BoundingBoxAnnotationUnits="PIXEL")
    dataset.GraphicAnnotationSequence = Items([item(GraphicLayer="L1", TextObjectSequence=Items([text])), person])
    output, _ = clean(dataset)
    assert len(output.GraphicAnnotationSequence) == 1
    assert output.GraphicAnnotationSequence[0].TextObjectSequence[0].UnformattedTextValue == "removed"
    assert "Otto" not in str(output)


def test_the_content_of_a_report_is_replaced_as_a_whole(clean):
    output, _ = clean(report(Visit(0, "20200101")))
    assert [one.ValueType for one in output.ContentSequence] == ["TEXT"]


def test_values_in_disguise_go(clean):
    dataset = ct()
    dataset.add_new(0x00180060, "LO", "Nettlebaum")
    dataset.add_new(0x00204000, "OB", b"Nettlebaum")
    with quietly():
        dataset.add_new(0x00080068, "CS", "Nettlebaum, Otto")
    output, _ = clean(dataset)
    assert "KVP" not in output
    assert "Nettlebaum" not in str(output)


def test_what_a_name_of_unknown_representation_holds_is_replaced(clean):
    dataset = ct()
    del dataset.PatientName
    dataset.add_new(0x00100010, "UN", b"Nettlebaum^Otto ")
    output, cleaned = clean(dataset)
    assert output["PatientName"].VR == "PN"
    assert str(output.PatientName) == cleaned.patient


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("SOPInstanceUID", "SOP Instance"),
        ("StudyInstanceUID", "Study Instance"),
        ("SeriesInstanceUID", "Series Instance"),
    ],
)
def test_an_object_without_a_uid_stays_in_the_house(tmp_path, keyword, name):
    dataset = ct()
    path = tmp_path / "in.dcm"
    path.write_bytes(encode_dicom(dataset, str(ExplicitVRLittleEndian)))
    file = read_dicom(path)
    file.meta.clear()
    del file.dataset[keyword]
    with pytest.raises(DeidError, match=f"no {name} UID"):
        Engine(DeidProfile(), KEY).clean(file, PatientIdentity("", "1", "2"))


def test_uids_that_only_the_file_meta_information_has_are_taken_from_there(tmp_path):
    dataset = ct()
    path = tmp_path / "in.dcm"
    path.write_bytes(encode_dicom(dataset, str(ExplicitVRLittleEndian)))
    file = read_dicom(path)
    file.dataset.SOPInstanceUID = ""
    cleaned = Engine(DeidProfile(), KEY).clean(file, PatientIdentity("", "1", "2"))
    assert cleaned.file.dataset.SOPInstanceUID == KEY.uid(dataset.SOPInstanceUID)


def test_a_voice_stays_in_the_house(clean):
    dataset = ct()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.4.1"
    with pytest.raises(DeidError, match="voice"):
        clean(dataset)


def test_nesting_has_an_end():
    dataset = ct()
    inner = dataset
    for _ in range(40):
        inner.DerivationCodeSequence = Items([Dataset()])
        inner = inner.DerivationCodeSequence[0]
    with pytest.raises(DeidError, match="nested more than 32"):
        clean_in_memory(dataset)


def clean_in_memory(dataset):
    file = DicomFile(dataset, Dataset(), str(ExplicitVRLittleEndian), has_preamble_content=False)
    return Engine(DeidProfile(), KEY).clean(file, PatientIdentity("", "1", "2"))


def test_a_data_set_made_in_memory_is_cleaned_too(clean):
    cleaned = clean_in_memory(ct())
    from_file, _ = clean(ct())
    in_memory = pydicom.dcmread(io.BytesIO(encode_dicom(cleaned.file.dataset, cleaned.file.syntax)))
    assert in_memory.StudyInstanceUID == from_file.StudyInstanceUID
    assert in_memory.PixelData == from_file.PixelData
    assert {one.tag for one in in_memory} == {one.tag for one in from_file}


def test_counts_name_attributes_and_actions_only(clean):
    _, cleaned = clean(ct())
    assert cleaned.counts[0x00100010, Action.PSEUDONYM] == 1
    assert cleaned.counts[0x00280010, Action.KEEP] == 1
    assert "Removed(tag=" in repr(cleaned.removed[0])
    assert not any(part in repr(cleaned.removed) for part in ("20200101", "1.2.826"))
