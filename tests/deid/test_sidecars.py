"""Files beside images: known keys and columns stay, everything else goes."""

from __future__ import annotations

import json
import re

import pytest

from medseg.core.errors import ReadError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid import sidecars
from medseg.deid.descriptors import Vocabulary
from medseg.deid.file_names import safe_subject
from medseg.deid.sidecar_rules import SidecarRules
from medseg.deid.sidecars import SidecarCleaned, SidecarSkipped, clean_sidecar

KEY = ProjectKey(b"k" * 32)
WORDS = Vocabulary(frozenset({"t1", "axial", "head", "control", "patient"}))
RULES = SidecarRules(KEY, WORDS)
HEX = "[0-9a-f]{16}"


def cleaned(tmp_path, content, name="sub-1_T1w.json", rules=RULES):
    source = tmp_path / name
    source.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    result = clean_sidecar(source, tmp_path / "out", rules)
    assert isinstance(result, SidecarCleaned)
    text = (tmp_path / "out").read_text(encoding="utf-8")
    return result, json.loads(text) if name.endswith(".json") else text


def taken(result) -> dict[bytes, int]:
    return {removed.value: removed.tag for removed in result.taken}


class TestSidecars:
    def test_technical_keys_stay(self, tmp_path):
        content = {
            "Modality": "MR", "MagneticFieldStrength": 3, "Manufacturer": "Siemens Healthineers", "EchoTime": 0.00234,
            "ManufacturersModelName": "MAGNETOM Prisma", "SoftwareVersions": "syngo MR E11", "SliceTiming": [0, 1.5, 2],
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"], "PhaseEncodingDirection": "j-", "SkullStripped": False,
            "SequenceName": "*tfl3d1_16ns", "ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0], "TaskName": "rest",
            "ShimSetting": [[1, 2], [3.5, -4]], "ConversionSoftwareVersion": "v1.0.20240202"[:10],
        }  # fmt: skip
        result, kept = cleaned(tmp_path, content)
        assert kept == content
        assert result.taken == ()

    def test_everything_else_goes_and_is_told_to_the_proof(self, tmp_path):
        content = {
            "PatientName": "MARK^Doe", "PatientID": 123456, "PatientBirthDate": "1956-03-04", "InstitutionName": "MARK",
            "AcquisitionTime": "13:14:15", "SeriesInstanceUID": "1.2.3.4", "Unknown": {"a": ["MARK deep", True, None]},
            "PatientSex": "F", "PatientAge": "093Y", "EchoTime": "MARK", "FlipAngle": {"a": 1}, "SliceTiming": ["MARK"],
            "AcquisitionNumber": 20240131, "SAR": [1.0, "MARK x"], "SeriesNumber": None,
            "Manufacturer": "MARK 19560304 Doe", "SequenceName": "Müller", "ScanOptions": ["FS", "MARK 123456"],
            "ReceiveCoilName": 5,
        }  # fmt: skip
        result, kept = cleaned(tmp_path, content)
        assert kept == {"ScanOptions": ["FS"]}
        found = taken(result)
        assert found[b"MARK^Doe"] == 0x00100010
        assert found[b"123456"] == 0x00100020
        assert found[b"MARK"] in (0, 0x00080080, 0x00180081)
        assert {b"1956-03-04", b"1.2.3.4", b"MARK deep", b"F", b"MARK 19560304 Doe", b"MARK 123456"} <= set(found)

    def test_descriptions_keep_known_words(self, tmp_path):
        content = {"SeriesDescription": "T1 axial Dr. MARK", "ProtocolName": "MARK", "BodyPartExamined": "HEAD"}
        result, kept = cleaned(tmp_path, content)
        assert kept == {"SeriesDescription": "T1 axial", "BodyPartExamined": "HEAD"}
        assert {b"T1 axial Dr. MARK", b"MARK"} == set(taken(result))

    @pytest.mark.parametrize("number", [1e400, float("nan"), 10**400, -(10**16), 19991231.0])
    def test_numbers_that_are_none(self, tmp_path, number):
        assert cleaned(tmp_path, {"EchoTime": number})[1] == {}

    def test_lists_that_are_too_deep(self, tmp_path):
        assert (
            cleaned(tmp_path, {"ShimSetting": [[[[[1]]]]], "Unknown": {"a": {"b": {"c": {"d": {"e": "MARK"}}}}}})[1]
            == {}
        )

    def test_characteristics_stay_by_their_option(self, tmp_path):
        rules = SidecarRules(KEY, WORDS, characteristics=True)
        content = {"PatientSex": "F", "PatientAge": "093Y", "PatientWeight": 70.5, "PatientSize": "MARK 123456"}
        assert cleaned(tmp_path, content, rules=rules)[1] == {
            "PatientSex": "F", "PatientAge": "090Y", "PatientWeight": 70.5
        }  # fmt: skip
        assert cleaned(tmp_path, {"PatientAge": 93}, rules=rules)[1] == {"PatientAge": 90}
        assert cleaned(tmp_path, {"PatientAge": [93], "PatientSex": ["F"]}, rules=rules)[1] == {"PatientSex": ["F"]}

    def test_paths_follow_the_files(self, tmp_path):
        subject = safe_subject("MARK", KEY)
        content = {
            "IntendedFor": ["ses-1/func/sub-MARK_ses-1_task-rest_bold.nii.gz", "/etc/MARK", "../MARK", 5],
            "Sources": "bids::sub-MARK/anat/sub-MARK_T1w.nii.gz",
            "TaskName": "MARK secret task",
            "B0FieldIdentifier": "pepolar_MARK",
            "B0FieldSource": ["pepolar_MARK", "???"],
        }
        _, kept = cleaned(tmp_path, content)
        assert kept["IntendedFor"] == [f"ses-1/func/sub-{subject}_ses-1_task-rest_bold.nii.gz"]
        assert kept["Sources"] == f"bids::sub-{subject}/anat/sub-{subject}_T1w.nii.gz"
        assert re.fullmatch(HEX, kept["TaskName"])
        assert kept["B0FieldSource"] == [kept["B0FieldIdentifier"]]
        assert KEY.made_name(f"task-{kept['TaskName']}")

    def test_an_image_beside_it_makes_a_sidecar(self, tmp_path):
        (tmp_path / "DOE.json").write_text("{}")
        assert clean_sidecar(tmp_path / "DOE.json", tmp_path / "out", RULES) == SidecarSkipped(
            "a file of a kind that is not released"
        )
        (tmp_path / "DOE.nii.gz").write_bytes(b"")
        assert cleaned(tmp_path, {"EchoTime": 1}, "DOE.json")[1] == {"EchoTime": 1}

    def test_cleaning_twice_is_cleaning_once(self, tmp_path):
        content = {"TaskName": "MARK task", "SeriesDescription": "T1 MARK", "IntendedFor": "sub-1/anat/sub-1_T1w.nii",
                   "EchoTime": 1, "B0FieldSource": "MARK"}  # fmt: skip
        _, once = cleaned(tmp_path, content)
        result, twice = cleaned(tmp_path, once)
        assert once == twice
        assert result.taken == ()


def test_description_of_a_data_set(tmp_path):
    content = {
        "Name": "MARK axial T1", "BIDSVersion": "1.8.0", "DatasetType": "raw", "License": "CC-BY-4.0",
        "Authors": ["MARK Doe"], "DatasetDOI": "doi:MARK", "HEDVersion": "MARK", "GeneratedBy": [{"Name": "MARK"}],
    }  # fmt: skip
    result, kept = cleaned(tmp_path, content, "dataset_description.json")
    assert kept == {
        "Name": "axial T1", "BIDSVersion": "1.8.0", "DatasetType": "raw", "License": "CC-BY-4.0",
        "GeneratedBy": [{"Name": "medseg"}],
    }  # fmt: skip
    assert {b"MARK axial T1", b"MARK Doe", b"doi:MARK", b"MARK"} == set(taken(result))
    assert cleaned(tmp_path, {"Name": "MARK"}, "dataset_description.json")[1]["Name"] == "de-identified data set"


@pytest.mark.parametrize("name", ["sub-1_dwi.bval", "sub-1_dwi.bvec"])
def test_gradients(tmp_path, name):
    result, content = cleaned(tmp_path, "0  1000 1e3\t-0.5\r\n\n0.1 nan 2 3", name)
    assert content == "0 1000 1e3 -0.5\n0.1 nan 2 3\n"
    assert result.taken == ()


@pytest.mark.parametrize("content", ["0 1000 MARK", "0 eee", "1..2", "é"])
def test_gradients_are_numbers(tmp_path, content):
    with pytest.raises(ReadError, match=r"^(holds something else than numbers|truncated or damaged)"):
        cleaned(tmp_path, content, "sub-1_dwi.bval")


@pytest.mark.parametrize(
    "name",
    ["README", "README.md", "CHANGES", "LICENSE", "code.py", "participants.json", "sub-1_scans.json", "dataset.json",
     "sub-1_task-rest_events.tsv", "sub-1_task-rest_physio.tsv.gz", "phenotype.tsv", "sub-1_sessions.json",
     ".bidsignore"],
)  # fmt: skip
def test_what_is_not_released(tmp_path, name):
    (tmp_path / name).write_text("MARK")
    assert isinstance(clean_sidecar(tmp_path / name, tmp_path / "out", RULES), SidecarSkipped)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2]", "holds no JSON object"),
        (b"{", "truncated or damaged, so it cannot be decoded"),
        (b"\xff\xfe", "truncated or damaged, so it cannot be decoded"),
        (b'{"a": "\\ud800"}', "truncated or damaged, so it cannot be decoded"),
        (b'{"a": ' + b"1" * 5000 + b"}", "truncated or damaged, so it cannot be decoded"),
        (b"[" * 200_000, "truncated or damaged, so it cannot be decoded"),
    ],
)
def test_damaged_json_is_refused_without_a_name(tmp_path, content, message):
    (tmp_path / "sub-MARK_T1w.json").write_bytes(content)
    with pytest.raises(ReadError, match=f"^{message}$"):
        clean_sidecar(tmp_path / "sub-MARK_T1w.json", tmp_path / "out", RULES)


def test_large_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sidecars, "LARGEST_SIDECAR", 2**20)
    (tmp_path / "sub-1_T1w.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ReadError, match="^takes more than 1 MiB, the largest file beside images$"):
        clean_sidecar(tmp_path / "sub-1_T1w.json", tmp_path / "out", RULES)


class TestTables:
    def test_participants_keep_nothing_but_their_pseudonyms(self, tmp_path):
        table = "participant_id\tage\tsex\tname\nsub-MARK1\t34\tF\tMARK\nsub-MARK2\t93\tM\tMARK Doe\n"
        result, content = cleaned(tmp_path, table, "participants.tsv")
        assert content.splitlines()[0] == "participant_id"
        assert sorted(content.splitlines()[1:]) == content.splitlines()[1:]
        assert set(content.split()[1:]) == {f"sub-{safe_subject(label, KEY)}" for label in ("MARK1", "MARK2")}
        assert taken(result)[b"MARK1"] == 0x00100020
        assert {b"MARK Doe", b"93"} <= set(taken(result))

    def test_characteristics_stay_by_their_option(self, tmp_path):
        table = (
            "participant_id\tage\tsex\tgroup\tnote\thandedness\theight\tweight\n"
            "01\t34.72\tF\tcontrol\tMARK\tR\t1.7\t70\n02\t93\tMARK\tMARK\tMARK\tMARK\tMARK\tn/a\n"
            "03\t0.52\tmale\tpatient\tMARK\tleft\t0.5\t4\n04\tMARK\tn/a\tpatient\tMARK\tleft\t0.5\t4\n"
        )
        rules = SidecarRules(KEY, WORDS, characteristics=True)
        _, content = cleaned(tmp_path, table, "participants.tsv", rules)
        rows = {line.split("\t")[0]: line.split("\t")[1:] for line in content.splitlines()}
        assert rows["participant_id"] == ["age", "sex", "group", "handedness", "height", "weight"]
        assert rows[f"sub-{safe_subject('01', KEY)}"] == ["34", "F", "control", "R", "1.7", "70"]
        assert rows[f"sub-{safe_subject('02', KEY)}"] == ["90", "n/a", "n/a", "n/a", "n/a", "n/a"]
        assert rows[f"sub-{safe_subject('03', KEY)}"] == ["0.5", "male", "patient", "left", "0.5", "4"]
        assert rows[f"sub-{safe_subject('04', KEY)}"][0] == "n/a"

    SCANS = (
        "filename\tacq_time\toperator\nanat/sub-MARK_T1w.nii.gz\t2019-03-04T13:14:15\tMARK\n"
        "func/sub-MARK_bold.nii.gz\t2019-04-03T13:14:15.25Z\tMARK\n../MARK.nii\t2019\tMARK\nMARK.nii\t0001-01-01\tMARK\n"
        "DOE.nii\t2019-02-31\tMARK\n"
    )

    def test_times_go_without_days(self, tmp_path):
        result, content = cleaned(tmp_path, self.SCANS, "sub-MARK_scans.tsv")
        assert content.splitlines()[0] == "filename"
        assert f"anat/sub-{safe_subject('MARK', KEY)}_T1w.nii.gz" in content.splitlines()
        assert "n/a" in content.splitlines()
        assert "MARK" not in content
        assert taken(result)[b"2019-03-04T13:14:15"] == 0x0008002A

    @pytest.mark.parametrize(
        ("days", "dates"), [(-400, ("2018-01-28", "2018-02-27")), (0, ("2019-03-04", "2019-04-03"))]
    )
    def test_times_move_by_days(self, tmp_path, days, dates):
        _, content = cleaned(tmp_path, self.SCANS, "sub-MARK_scans.tsv", SidecarRules(KEY, WORDS, days))
        times = sorted(line.split("\t")[1] for line in content.splitlines()[1:])
        assert times[:2] == [f"{dates[0]}T13:14:15", f"{dates[1]}T13:14:15.25"] or days == 0
        assert {f"{dates[0]}T13:14:15", f"{dates[1]}T13:14:15.25"} <= set(times)
        assert times.count("n/a") == (3 if days else 2)

    def test_sessions(self, tmp_path):
        table = "session_id\tacq_time\nses-20190304\t2019-03-04\nses-1\tn/a\n"
        _, content = cleaned(tmp_path, table, "sub-1_sessions.tsv", SidecarRules(KEY, WORDS, -1))
        rows = dict(line.split("\t") for line in content.splitlines())
        assert rows["ses-1"] == "n/a"
        assert "2019-03-03" in rows.values()
        assert "20190304" not in content

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "its lines do not have as many columns as its first line, or .*"),
            ("participant_id\tage\nsub-1\n", "its lines do not have as many columns as its first line, or .*"),
            ("participant_id\ta\ta\nsub-1\tx\ty\n", "its lines do not have .*, or two columns have one name"),
            ("age\tparticipant_id\n1\tsub-1\n", "its first column is not the one that such a table begins with"),
        ],
    )
    def test_damaged_tables(self, tmp_path, content, message):
        with pytest.raises(ReadError, match=f"^{message}$"):
            cleaned(tmp_path, content, "participants.tsv")

    def test_cleaning_twice_is_cleaning_once(self, tmp_path):
        for name, table in (("participants.tsv", "participant_id\nsub-MARK\n"), ("sub-1_scans.tsv", self.SCANS)):
            _, once = cleaned(tmp_path, table, name)
            result, twice = cleaned(tmp_path, once, name)
            assert once == twice
            assert result.taken == ()
