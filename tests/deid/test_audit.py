"""What the audit of a folder finds, and that it finds nothing where nothing is left."""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_factories import set_pixels
from dicomanonymizer.simpledicomanonymizer import anonymize_dataset, initialize_actions
from marked_study import write_marked_study
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid import audit as audit_module
from medseg.deid import audit_dicom
from medseg.deid.audit import Audit, audit
from medseg.deid.descriptors import Vocabulary
from medseg.deid.engine import Engine
from medseg.deid.identity import PatientIdentity
from medseg.io.dicom_file import encode_dicom, read_dicom

WORDS = Vocabulary(frozenset({"thorax", "liver", "axial", "rest"}))
DATES, UIDS = Option.RETAIN_MODIFIED_DATES, Option.RETAIN_UIDS
CODES = {
    Option.RETAIN_INSTITUTION_IDENTITY: "113112",
    DATES: "113107",
    UIDS: "113110",
    Option.RETAIN_SAFE_PRIVATE: "113111",
    Option.CLEAN_PIXEL_DATA: "113101",
}


@pytest.fixture(autouse=True)
def _no_doubt(monkeypatch):
    monkeypatch.setattr(audit_dicom, "doubt", lambda dataset: None)


def cleaned(*options: Option, **elements: object) -> Dataset:
    """An object that says that it was de-identified, and says nothing else."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "2.25.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.2", "2.25.3"
    dataset.PatientName = dataset.PatientID = "patient-0123456789abcdef"
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "by hand"
    dataset.StudyDate, dataset.StudyTime, dataset.InstanceNumber = "", "", 7
    dataset.DeidentificationMethodCodeSequence = [code("113100", "DCM", "Basic Profile")]
    dataset.DeidentificationMethodCodeSequence.extend(code(CODES[option], "DCM", "") for option in options)
    set_pixels(dataset, np.zeros((4, 4), np.int16))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def items(keyword: str, **elements: object) -> dict[str, list[Dataset]]:
    item = Dataset()
    for inner, value in elements.items():
        setattr(item, inner, value)
    return {keyword: [item]}


def write(path: Path, dataset: Dataset) -> Path:
    path.write_bytes(encode_dicom(dataset, ExplicitVRLittleEndian))
    return path


def seen(path: Path) -> Audit:
    return audit(path, WORDS)


def found(tmp_path: Path, dataset: Dataset) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Kinds and places of findings and of notes."""
    result = seen(write(tmp_path / "image.dcm", dataset))
    assert (result.files, result.unreadable) == (1, 0)
    return {(one.kind, one.where) for one in result.findings}, {(one.kind, one.where) for one in result.notes}


def test_a_clean_object_has_no_finding(tmp_path):
    assert found(tmp_path, cleaned()) == (set(), set())
    result = seen(tmp_path)
    assert not result.has_findings
    assert result.rows() == []


@pytest.mark.parametrize(
    ("elements", "finding"),
    [
        ({"PatientName": "Doepfer^John"}, ("name", "(0010,0010)")),
        ({"OperatorsName": "Doepfer"}, ("name", "(0008,1070)")),
        ({"PatientBirthDate": "19640307"}, ("date", "(0010,0030)")),
        ({"StudyTime": "101112"}, ("attribute that the profile removes", "(0008,0030)")),
        ({"PatientWeight": "81"}, ("attribute that the profile removes", "(0010,1030)")),
        ({"PatientSex": "F"}, ("attribute that the profile removes", "(0010,0040)")),
        ({"SelectorASValue": "057Y"}, ("attribute that the profile removes", "(0072,005F)")),
        ({"PatientAge": "057Y"}, ("attribute that the profile removes", "(0010,1010)")),
        ({"OtherPatientIDs": "4711"}, ("identifier", "(0010,1000)")),
        ({"AccessionNumber": "4711"}, ("identifier", "(0008,0050)")),
        ({"InstitutionName": "Musterstadt"}, ("institution", "(0008,0080)")),
        ({"StationName": "CT99"}, ("device", "(0008,1010)")),
        ({"StudyDescription": "Thorax Doepfer"}, ("free text", "(0008,1030)")),
        ({"SegmentLabel": "Doepfer"}, ("free text", "(0062,0005)")),
        ({"SubstanceAdministrationDateTime": "20200304101112"}, ("date", "(0044,0010)")),
        ({"ExpirationDateTime": "20200304101112"}, ("date", "(0008,0416)")),
        ({"PregnancyStatus": 4}, ("attribute that the profile removes", "(0010,21C0)")),
        ({"ScheduledStationAETitle": "CT99"}, ("device", "(0040,0001)")),
        ({"PatientIdentityRemoved": "NO"}, ("not marked as de-identified", "(0012,0062)")),
        (items("RequestAttributesSequence", StudyID="x"), ("attribute that the profile removes", "(0040,0275)")),
        (items("ViewCodeSequence", PersonName="Doepfer"), ("name", "(0040,A123) in (0054,0220)")),
        (items("ViewCodeSequence", CodeMeaning="Doepfer"), ("free text", "(0008,0104) in (0054,0220)")),
    ],
)
def test_what_is_left_in_attributes(tmp_path, elements, finding):
    findings, _ = found(tmp_path, cleaned(**elements))
    assert finding in findings


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientName": "ANONYMOUS"},
        {"PatientBirthDate": "19000101"},
        {"AcquisitionDateTime": "19000101000000"},
        {"StudyTime": "000000.00"},
        {"PatientAge": "000Y"},
        {"PatientWeight": "0"},
        {"PatientSex": "O"},
        {"AccessionNumber": "A0123456789ABCDE"},
        {"StudyDescription": "thorax AXIAL"},
        {"SegmentLabel": "Liver"},
        {"ManufacturerModelName": "Superscan 3000"},
        {"ReferencedStudySequence": []},
        {"FrameOfReferenceUID": "2.25.77"},
        {"StationName": "removed"},
        {"PregnancyStatus": 0},
        {"MultiFrameSourceSOPInstanceUID": "2.25.5"},
        {"ViewCodeSequence": [code("80891009", "SCT", "Heart")]},
        {"ViewCodeSequence": [code("T-62000", "SRT", "Liver")]},
    ],
)
def test_what_says_nothing(tmp_path, elements):
    assert found(tmp_path, cleaned(**elements)) == (set(), set())


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        ({"PatientID": "4711"}, ("identifier", "(0010,0020)")),
        ({"SeriesInstanceUID": "1.3.12.2"}, ("UID", "(0020,000E)")),
        ({"ViewCodeSequence": [code("1", "SCT", "Doepfer")]}, ("free text", "(0008,0104) in (0054,0220)")),
        ({"RedPaletteColorLookupTableData": b"\0\1"}, None),
        ({"HPGLDocument": b"\0\1"}, ("binary value", "(0068,6300)")),
        (
            {"DeidentificationMethod": "", "DeidentificationMethodCodeSequence": None},
            ("method of de-identification not told", "(0012,0063)"),
        ),
    ],
)
def test_what_a_person_has_to_decide(tmp_path, elements, note):
    dataset = cleaned(**elements)
    if elements.get("DeidentificationMethodCodeSequence", 0) is None:
        del dataset.DeidentificationMethodCodeSequence
    findings, notes = found(tmp_path, dataset)
    assert (findings, notes) == (set(), {note} if note else set())


def test_a_name_that_is_the_number_is_a_pseudonym_most_likely(tmp_path):
    notes = {("name", "(0010,0010)"), ("identifier", "(0010,0020)")}
    assert found(tmp_path, cleaned(PatientName="LIDC-0001", PatientID="LIDC-0001")) == (set(), notes)
    assert found(tmp_path, cleaned(PatientName="Doepfer", PatientID="Doepfer"))[0] == {("name", "(0010,0010)")}


def test_private_attributes_overlays_and_curves(tmp_path):
    dataset = cleaned()
    dataset.private_block(0x19, "MAKER", create=True).add_new(8, "LO", "Doepfer")
    dataset.add_new(0x60003000, "OW", b"\1\0")
    dataset.add_new(0x60004000, "LT", "Doepfer")
    dataset.add_new(0x50000005, "US", 2)
    dataset.add_new(0xFFFCFFFC, "OB", b"Doepfer ")
    findings, _ = found(tmp_path, dataset)
    assert ("private attribute", "group 0019") in findings
    assert {("overlay or curve", "(6000,3000)"), ("overlay or curve", "(5000,0005)")} < findings
    assert ("attribute that the profile removes", "(FFFC,FFFC)") in findings


def test_claimed_options_are_believed(tmp_path):
    claims = (DATES, UIDS, Option.RETAIN_SAFE_PRIVATE)
    dataset = cleaned(*claims, StudyDate="20200304", StudyTime="101112", SeriesInstanceUID="1.3.12.2")
    dataset.StudyUpdateDateTime, dataset.MultiFrameSourceSOPInstanceUID = "20200304", "1.3.12.2.7"
    dataset.private_block(0x19, "MAKER", create=True).add_new(8, "LO", "Doepfer")
    findings, notes = found(tmp_path, dataset)
    assert findings == set()
    assert notes == {("private attribute", "group 0019")}
    dataset.DeidentificationMethodCodeSequence = None
    assert len(found(tmp_path, dataset)[0]) == 4


def test_texts_of_content_items_may_be_kept_by_an_option(tmp_path):
    content = items("ContentSequence", TextValue="Doepfer")
    text = ("free text", "(0040,A160) in (0040,A730)")
    assert found(tmp_path, cleaned(**content))[0] == {text}
    assert found(tmp_path, cleaned(Option.RETAIN_INSTITUTION_IDENTITY, **content)) == (set(), {text})


def test_text_under_a_claim_is_still_read(tmp_path):
    dataset = cleaned(StudyDescription="Thorax Doepfer")
    dataset.DeidentificationMethodCodeSequence.append(code("113105", "DCM", "Clean Descriptors"))
    assert found(tmp_path, dataset)[0] == {("free text", "(0008,1030)")}


def test_doubtful_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_dicom, "doubt", lambda dataset: "secondary capture")
    trace = {("pixels may show text", "pixel data")}
    assert found(tmp_path, cleaned()) == (trace, set())
    assert found(tmp_path, cleaned(BurnedInAnnotation="NO")) == (set(), trace)
    assert found(tmp_path, cleaned(Option.CLEAN_PIXEL_DATA)) == (set(), set())


def test_what_stands_before_the_data_set(tmp_path):
    path = write(tmp_path / "image.dcm", cleaned())
    data = path.read_bytes()
    title = b"\x02\0\x16\0AE\x04\0CT99"
    length = struct.unpack("<L", data[140:144])[0] + len(title)
    head = b"DOE" + bytes(125) + b"DICM" + data[132:140] + struct.pack("<L", length)
    path.write_bytes(
        head
        + data[144:]
        .replace(b"UI\x06\x002.25.1", b"UI\x06\x002.25.9", 1)
        .replace(b"\x02\0\x13\0", title + b"\x02\0\x13\0")
    )
    kinds = {one.kind for one in seen(path).findings}
    assert kinds == {"content in the preamble", "file meta information", "another UID in the file meta information"}


def test_names_of_files_and_folders(tmp_path):
    folder = tmp_path / "Doepfer_John" / "20200304"
    folder.mkdir(parents=True)
    write(folder / "image.dcm", cleaned(PatientName="Doepfer^John"))
    write(tmp_path / "Roe^Jane.dcm", cleaned())
    made = tmp_path / "patient-0123456789abcdef"
    made.mkdir()
    write(made / "instance-1964030711111111.dcm", cleaned())
    where = {one.kind: one.files for one in seen(tmp_path).findings if one.where == "name of a file or folder"}
    assert where == {"date": 1, "name": 1, "name of the header": 1}


def test_rows_tell_no_values(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.dcm", cleaned(PatientName="Doepfer^John", InstanceNumber=number))
    (row,) = seen(tmp_path).rows()
    assert row == {
        "finding": "finding",
        "kind": "name",
        "where": "(0010,0010)",
        "attribute": "PatientName",
        "files": 3,
        "example instance": "0",
    }


def test_what_cannot_be_looked_at_is_counted(tmp_path):
    write(tmp_path / "whole.dcm", cleaned())
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "whole.dcm").read_bytes()[:500])
    (tmp_path / "notes.docx").write_bytes(b"Doepfer")
    (tmp_path / "link.dcm").symlink_to(tmp_path / "whole.dcm")
    result = seen(tmp_path)
    assert (result.files, result.others, result.unreadable) == (1, 2, 1)
    assert result.has_findings
    assert [one.where for one in result.notes] == [".docx"]


def test_limits(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        audit(tmp_path / "missing")
    monkeypatch.setattr(audit_module, "_MOST_FILES", 1)
    (tmp_path / "1.txt").touch()
    (tmp_path / "2.txt").touch()
    with pytest.raises(InputError, match="more than 1 files"):
        audit(tmp_path)


def test_folders_that_stay_shut_are_unreadable(tmp_path, monkeypatch):
    def walk(root: Path, onerror):
        onerror(OSError())
        return iter(())

    monkeypatch.setattr(os, "walk", walk)
    assert seen(tmp_path).unreadable == 1


def test_reports_of_our_own_are_left_alone(tmp_path):
    (tmp_path / "deid_report.json").write_text('{"text": "Doepfer"}')
    assert seen(tmp_path).has_findings
    (tmp_path / ".deid").mkdir()
    (tmp_path / ".deid" / "run.json").write_text('{"text": "Doepfer"}')
    assert not seen(tmp_path).has_findings


@pytest.mark.parametrize("options", [set(), {DATES, Option.CLEAN_DESCRIPTORS}, {UIDS, Option.RETAIN_DEVICE_IDENTITY}])
def test_what_our_engine_has_cleaned_has_no_finding(tmp_path, options):
    dataset = cleaned(
        PatientName="Doepfer^John",
        PatientID="4711",
        PatientBirthDate="19640307",
        StudyDate="20200304",
        StationName="CT99",
        StudyDescription="Thorax Doepfer",
        SegmentLabel="Doepfer",
        PatientWeight="81",
        **items("RequestAttributesSequence", ScheduledProcedureStepDescription="Doepfer"),
    )
    dataset.StudyInstanceUID, dataset.PatientIdentityRemoved = "1.3.12.2.1107.5", "NO"
    file = read_dicom(write(tmp_path / "image.dcm", dataset))
    engine = Engine(DeidProfile(options=frozenset(options)), ProjectKey(bytes(32)))
    engine.clean(file, PatientIdentity("", "4711", "1.3.12.2.1107.5"))
    assert found(tmp_path, file.dataset)[0] == set()


def test_what_other_tools_leave(tmp_path):
    marked = write_marked_study(tmp_path / "marked", visits=1, slices=1)
    for path in marked.files.values():
        dataset = pydicom.dcmread(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            anonymize_dataset(dataset, base_rules_gen=lambda: initialize_actions("dicomfields_2026c"))
        dataset.save_as(path)
    where = {(one.kind, one.where) for one in audit(tmp_path).findings}
    assert ("name", "(0010,0010) in (0008,2218)") in where
    assert ("content in the preamble", "first 128 bytes") in where
    assert ("file meta information", "(0002,0016)") in where
    assert ("overlay or curve", "(6000,0022)") in where
    assert ("free text", "(0062,0006) in (0062,0002)") in where
