from __future__ import annotations

import json
import os

import pytest

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import OutputError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.records import (
    Ledger,
    SeriesRecord,
    UnitRecord,
    input_stamp,
    read_record,
    settings_stamp,
    write_record,
)

KEY, OTHER = ProjectKey(b"k" * 32), ProjectKey(b"o" * 32)
RECORD = UnitRecord(
    unit="study-1",
    patient="patient-1",
    stamp="stamp-1",
    settings="settings-1",
    paths=("patient-1/study-1",),
    files=3,
    released=2,
    quarantined={"doubtful": 1},
    actions={"00100010": {"pseudonym": 3}},
    series=(SeriesRecord(name="series-1", path="patient-1/study-1/series-1", modality="CT", attributes={"sex": "F"}),),
)


def test_a_record_survives_its_file(tmp_path):
    write_record(tmp_path / "a.json", RECORD)
    assert read_record(tmp_path / "a.json") == RECORD


def test_what_is_no_record_is_none(tmp_path, monkeypatch):
    assert read_record(tmp_path / "missing.json") is None
    (tmp_path / "a.json").write_text('{"unit": "study-1"}')
    assert read_record(tmp_path / "a.json") is None
    write_record(tmp_path / "b.json", RECORD)
    monkeypatch.setattr("medseg.deid.records._LARGEST", 10)
    assert read_record(tmp_path / "b.json") is None


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "in" / name for name in ("a", "b")]
    (tmp_path / "in").mkdir()
    for path in paths:
        path.write_bytes(b"1234")
        os.utime(path, (1000, 1000))
    return paths


def test_the_stamp_of_an_input_changes_with_what_matters(tmp_path, files):
    root = tmp_path / "in"
    stamps = [input_stamp(KEY, root, files)]
    assert input_stamp(KEY, root, reversed(files)) == stamps[0]
    stamps.append(input_stamp(OTHER, root, files))
    stamps.append(input_stamp(KEY, root, files, ["patient-1"]))
    stamps.append(input_stamp(KEY, root, files[:1]))
    os.utime(files[0], (1000, 1001))
    stamps.append(input_stamp(KEY, root, files))
    files[0].write_bytes(b"12345")
    os.utime(files[0], (1000, 1000))
    stamps.append(input_stamp(KEY, root, files))
    files[0].unlink()
    stamps.append(input_stamp(KEY, root, files))
    assert len(set(stamps)) == 7


def test_times_of_unpacked_files_do_not_count(tmp_path, files):
    before = input_stamp(KEY, tmp_path / "in", files, dated=False)
    os.utime(files[0], (5, 5))
    assert input_stamp(KEY, tmp_path / "in", files, dated=False) == before


def test_one_file_may_be_the_whole_input(files):
    assert input_stamp(KEY, files[0], files[:1]) != input_stamp(KEY, files[1], files[1:])


def test_a_file_beside_the_one_that_is_the_input_counts_too(files):
    before = input_stamp(KEY, files[0], files)
    files[1].write_bytes(b"other voxels")
    assert input_stamp(KEY, files[0], files) != before


def test_the_stamp_of_the_settings_changes_with_the_profile():
    dates, words = Option.RETAIN_MODIFIED_DATES, Option.CLEAN_DESCRIPTORS
    one = DeidProfile(options=frozenset({dates, words}))
    other = DeidProfile(options=frozenset({words, dates}))
    assert settings_stamp(KEY, one, {"proof": True}) == settings_stamp(KEY, other, {"proof": True})
    different = [
        settings_stamp(KEY, one, {"proof": True}),
        settings_stamp(KEY, one, {"proof": False}),
        settings_stamp(KEY, DeidProfile(), {"proof": True}),
        settings_stamp(OTHER, one, {"proof": True}),
    ]
    assert len(set(different)) == 4


def test_a_ledger_adds_up_and_tells_the_sources_only_beside_what_it_held(tmp_path):
    ledger = Ledger()
    ledger.actions[0x00100010, "pseudonym"] += 2
    ledger.actions[0x00100010, "remove"] += 1
    ledger.write(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    ledger.hold("instance-1", "doubtful", "doe/1.dcm")
    ledger.hold("instance-2", "doubtful", "doe/2.dcm")
    assert ledger.reasons() == {"doubtful": 2}
    assert ledger.actions_by_tag() == {"00100010": {"pseudonym": 2, "remove": 1}}
    ledger.write(tmp_path / "held")
    told = json.loads((tmp_path / "held" / "why.json").read_text())
    assert told[1] == {"name": "instance-2", "reason": "doubtful", "source": "doe/2.dcm"}


def test_a_name_that_is_no_text_can_be_told(tmp_path):
    ledger = Ledger()
    ledger.hold("instance-1", "doubtful", os.fsdecode(b"\xff\xfe/1.dcm"))
    ledger.write(tmp_path)
    assert os.fsencode(json.loads((tmp_path / "why.json").read_text())[0]["source"]) == b"\xff\xfe/1.dcm"


def test_a_ledger_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    ledger = Ledger()
    ledger.hold("instance-1", "doubtful", "doe/1.dcm")
    with pytest.raises(OutputError, match="a part of its path is a file"):
        ledger.write(tmp_path / "file")
