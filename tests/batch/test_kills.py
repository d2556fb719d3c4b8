"""Killed at any moment and started again, a batch does every study once and loses none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest
from batch_studies import files_below, write_key, write_model
from factories import bundle

from medseg.batch.manifest import FILE, read_manifest
from medseg.batch.receipt import FILE as RECEIPT
from medseg.batch.receipt import read_receipt
from medseg.batch.records import Status
from medseg.batch.work import STUDIES
from medseg.phantom.studies import Protocol, planted_identifiers, write_cohort

pytestmark = pytest.mark.slow

CASES, KILLS, SOON_S = 12, 10, 120.0
COMMAND = (sys.executable, "-c", "from medseg.cli.main import run; run()", "batch")


def start(folder: Path, output: str) -> subprocess.Popen[bytes]:
    """The command in a process group of its own."""
    options = ("--any-size", "--device", "cpu", "--key", folder / "project.key")
    arguments = (*COMMAND, folder / "model", folder / "cohort" / "studies", "-o", folder / output, *options)
    with (folder / f"{output}.log").open("ab") as log:
        return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)


def wait_for_work(process: subprocess.Popen[bytes], studies: Path) -> None:
    """Wait until the process has begun to write something, or has ended."""
    names = set(studies.glob("*")) | set(studies.glob(".*"))
    ends = time.monotonic() + SOON_S
    while process.poll() is None and time.monotonic() < ends:
        if (set(studies.glob("*")) | set(studies.glob(".*"))) - names:
            return
        time.sleep(0.01)


def kill(process: subprocess.Popen[bytes], *, whole_group: bool) -> None:
    """Kill the process, and its workers too or not."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


def living(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, member, *_ = stat.read_text().rpartition(")")[2].split()
            if int(member) == group and state not in ("Z", "X"):
                found.append(int(stat.parent.name))
    return found


def uids(output: Path) -> dict[str, tuple[str, str]]:
    """Series and instance of each DICOM result."""
    heads = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in (output / STUDIES).rglob("*.dcm")}
    return {
        path.relative_to(output).as_posix(): (str(head.SeriesInstanceUID), str(head.SOPInstanceUID))
        for path, head in heads.items()
    }


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ten_kills_leave_one_good_result_a_study(tmp_path):
    write_cohort(tmp_path / "cohort", CASES, protocol=Protocol(matrix=32, slice_mm=(15.0, 15.0)))
    write_model(tmp_path / "model", bundle(channels=[{"name": "CT"}]))
    write_key(tmp_path / "project.key")
    rng, groups, output = random.Random(7), [], tmp_path / "out"
    for number in range(KILLS):
        process = start(tmp_path, "out")
        groups.append(process.pid)
        if number % 5 == 4:
            time.sleep(rng.uniform(0, 4))  # while it starts
        else:
            wait_for_work(process, output / STUDIES)
            time.sleep(rng.uniform(0, 0.6))
        kill(process, whole_group=number % 2 == 1)
    for name in ("out", "undisturbed"):
        process = start(tmp_path, name)
        groups.append(process.pid)
        assert process.wait(timeout=300) == 0, (tmp_path / f"{name}.log").read_text()
    check_whole(output)
    assert uids(output) == uids(tmp_path / "undisturbed")
    assert [pid for group in groups for pid in living(group)] == []
    log = (tmp_path / "out.log").read_text()
    assert "Traceback" not in log
    assert [one for one in planted_identifiers(tmp_path / "cohort") if one in log] == []


def check_whole(output: Path) -> None:
    """The manifest, the receipts and the files tell the same, and nothing else is there."""
    with contextlib.closing(sqlite3.connect(output / FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with read_manifest(output) as manifest:
        rows = [row.result for row in manifest.rows()]
    assert [row.status for row in rows] == [Status.DONE] * CASES
    for row in rows:
        receipt = read_receipt(output / STUDIES / row.name)
        assert (receipt.name, receipt.version, receipt.outputs) == (row.name, row.version, row.outputs)
        assert receipt.measured == row.measured
        for one in row.outputs:
            content = (output / STUDIES / row.name / one.name).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (one.size, one.sha256)
    named = {f"{row.name}/{one.name}" for row in rows for one in row.outputs} | {
        f"{row.name}/{RECEIPT}" for row in rows
    }
    assert set(files_below(output / STUDIES)) == named
    assert {path.name for path in output.iterdir()} == {FILE, STUDIES, "studies.csv", ".lock", ".reserve"}
