"""The manifest keeps what it was told, whoever is killed when."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from factories import full_disk

from medseg.batch.manifest import FILE, open_manifest, read_manifest
from medseg.batch.records import Measured, OutputFile, Stage, Status, StudyResult, StudyTask
from medseg.core.errors import InputError, OutputError


def task(name="study-a", version="1") -> StudyTask:
    return StudyTask(name, ("/a", "/b"), version)


def done(name="study-a", version="1") -> StudyResult:
    return StudyResult(
        name,
        version,
        Status.DONE,
        "unusual",
        ("series-1", "series-2"),
        {Stage.READ: 0.5, Stage.PREDICT: 2.0},
        (Measured("series-1", "two", 1.5, 2, ("odd",)), Measured("series-2", "one", None, 0, ())),
        (OutputFile("series-1/seg.dcm", 10, "aa"), OutputFile("series-2/seg.dcm", 20, "bb")),
    )


def test_what_is_recorded_is_found_again(tmp_path):
    with open_manifest(tmp_path, "model") as manifest:
        manifest.begin({"medseg": "1"}, {"write": ["seg"]})
        manifest.expect([task(), task("study-b")])
        manifest.record(done())
    with open_manifest(tmp_path, "model") as manifest:
        first, second = manifest.rows()
        assert first.result == done()
        assert (first.attempts, first.ended is not None) == (1, True)
        assert second.result == StudyResult("study-b", "1", Status.WAITING)
        assert manifest.counts() == {Status.DONE: 1, Status.WAITING: 1}
        assert manifest.runs()[0][1] == {"medseg": "1"}
    assert done().flags == 1


def test_a_study_is_recorded_in_the_place_of_what_was_known(tmp_path):
    with open_manifest(tmp_path, "model") as manifest:
        manifest.record(done())
        manifest.record(StudyResult("study-a", "2", Status.FAILED, "damaged"))
        (row,) = manifest.rows()
    assert row.result == StudyResult("study-a", "2", Status.FAILED, "damaged")
    assert row.attempts == 2


def test_a_new_version_waits_again_and_the_same_does_not(tmp_path):
    with open_manifest(tmp_path, "model") as manifest:
        manifest.record(done())
        manifest.expect([task()])
        assert manifest.statuses() == {"study-a": ("1", Status.DONE)}
        manifest.expect([task(version="2")])
        assert manifest.statuses() == {"study-a": ("2", Status.WAITING)}
        manifest.record(done())
        manifest.wait_again(["study-a"])
        assert manifest.statuses() == {"study-a": ("1", Status.WAITING)}
        assert [row.result for row in manifest.rows()] == [StudyResult("study-a", "1", Status.WAITING)]


def test_another_model_is_refused(tmp_path):
    with open_manifest(tmp_path, "model"):
        pass
    with (
        pytest.raises(InputError, match="results of another model, or names by another key; name another folder"),
        open_manifest(tmp_path, "2"),
    ):
        pass


def test_two_runs_do_not_share_a_folder_but_anybody_may_look(tmp_path):
    with open_manifest(tmp_path, "model") as manifest:
        manifest.record(done())
        other = open_manifest(tmp_path, "model")
        with pytest.raises(InputError, match="another run works on this output folder"), other:
            pass
        with read_manifest(tmp_path) as other:
            assert other.counts() == {Status.DONE: 1}


def test_a_reader_writes_nothing(tmp_path):
    with open_manifest(tmp_path, "model"):
        pass
    with read_manifest(tmp_path) as manifest, pytest.raises(OutputError, match="cannot be written"):
        manifest.record(done())
    assert (tmp_path / ".reserve").exists()
    nowhere = read_manifest(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no manifest.sqlite, so no batch has run there"), nowhere:
        pass


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_damaged_manifest_is_told(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match="damaged"), read_manifest(tmp_path) as manifest:
        manifest.counts()


def test_a_damaged_manifest_is_not_written_to(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="damaged"), open_manifest(tmp_path, "model"):
        pass


def test_a_manifest_of_another_form_is_refused(tmp_path):
    with open_manifest(tmp_path, "model"):
        pass
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE batch SET form = 99")
    connection.close()
    with pytest.raises(InputError, match="another version of medseg"), open_manifest(tmp_path, "model"):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written to"), open_manifest(tmp_path / "file" / "out", "model"):
        pass


class FullOnce:
    """A connection whose disk is full until room is made."""

    def __init__(self, connection, reserve: Path):
        self.connection, self.reserve, self.failures = connection, reserve, 0

    def executemany(self, statement, rows):
        if self.reserve.exists() and "INSERT INTO outputs" in statement:
            self.failures += 1
            raise sqlite3.OperationalError("database or disk is full")
        return self.connection.executemany(statement, rows)

    def __getattr__(self, name):
        return getattr(self.connection, name)


def test_the_reserve_makes_room_on_a_full_disk(tmp_path):
    with open_manifest(tmp_path, "model") as manifest:
        manifest._connection = full = FullOnce(manifest._connection, tmp_path / ".reserve")
        manifest.record(done())
        assert full.failures == 1
        assert not (tmp_path / ".reserve").exists()
        (row,) = manifest.rows()
        assert row.result == done()


def test_without_room_the_row_is_missing_and_the_rest_is_whole(tmp_path):
    with open_manifest(tmp_path, "model") as manifest:
        manifest.record(done("study-0"))
        many = [StudyTask(f"study-{n}" * 20, (), "1") for n in range(3000)]
        with full_disk(64 * 2**10), pytest.raises(OutputError, match="cannot be written .*what it holds is safe"):
            manifest.expect(many)
        assert manifest.counts() == {Status.DONE: 1}
        manifest.expect(many)
        assert manifest.counts()[Status.WAITING] == 3000


def test_no_reserve_can_be_made_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with open_manifest(tmp_path, "model") as manifest:
        assert manifest.counts() == {}
    assert not (tmp_path / ".reserve").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from medseg.batch.manifest import open_manifest
from medseg.batch.records import Status, StudyResult
with open_manifest(Path(sys.argv[1]), "model") as manifest:
    for number in range(50):
        manifest.record(StudyResult(f"study-{number:02d}", "1", Status.DONE))
    manifest._connection.execute("PRAGMA cache_size = 1")  # what is not yet committed is on the disk already
    manifest._connection.execute("BEGIN IMMEDIATE")
    manifest._connection.execute("UPDATE studies SET status = 'failed', reason = 'long' || hex(zeroblob(10000))")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_recorded_outlives_a_kill(tmp_path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert ended.returncode == -9
    with read_manifest(tmp_path) as manifest:
        assert manifest.counts() == {Status.DONE: 50}
    with open_manifest(tmp_path, "model") as manifest:
        assert manifest.counts() == {Status.DONE: 50}
