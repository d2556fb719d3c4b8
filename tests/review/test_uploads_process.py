"""The process that cleans an upload: told, listened to, and ended with all that it started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from upload_runs import Told

from medseg.config.deid import DeidProfile
from medseg.core.errors import DataError, InputError, OutputError
from medseg.review import cleaning_process
from medseg.review.cleaning import CleanRequest
from medseg.review.cleaning_process import clean_apart, main, sentence


@pytest.fixture
def request_(tmp_path):
    (tmp_path / "originals").mkdir()
    return CleanRequest(
        originals=tmp_path / "originals",
        output=tmp_path / "clean",
        quarantine=tmp_path / "held",
        profile=DeidProfile(),
        key=tmp_path / "key",
        most_mb=10,
        workers=0,
    )


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A shell script in place of the interpreter."""

    def run(script: str) -> None:
        path = tmp_path / "process.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(cleaning_process.sys, "executable", str(path))

    return run


def lines(*messages: object) -> str:
    return "\n".join(f"echo '{json.dumps(message)}'" for message in messages)


def is_alive(path: Path) -> bool:
    """Whether the process lives whose number a file holds."""
    try:
        os.kill(int(path.read_text()), 0)
    except ProcessLookupError:
        return False
    return b"Z" not in Path(f"/proc/{int(path.read_text())}/stat").read_bytes().split()[2:3]


def wait_for(path: Path) -> None:
    until = time.monotonic() + 20
    while not (path.exists() and path.read_text()) and time.monotonic() < until:
        time.sleep(0.01)


def test_what_the_process_says_is_passed_on(process, request_, tmp_path):
    image = {"name": "series-1", "files": ["a.dcm"]}
    process(
        f'read line; echo "$line" > {tmp_path}/said; echo $TMPDIR > {tmp_path}/place\n'
        + lines(["start", "reading", 3], ["advance", 1], ["note", "one"], ["done", {"images": [image]}])
    )
    told = Told()
    result = clean_apart(request_, tmp_path / "room", told)
    assert [one.name for one in result.images] == ["series-1"]
    assert (told.stages, told.notes) == (["reading"], ["one"])
    assert CleanRequest.model_validate_json((tmp_path / "said").read_text()) == request_
    assert (tmp_path / "place").read_text().strip() == str(tmp_path / "room")


@pytest.mark.parametrize(
    ("kind", "error"),
    [("OutputError", OutputError), ("InputError", InputError), ("annotations", DataError), ("", DataError)],
)
def test_errors_come_as_they_are(process, request_, tmp_path, kind, error):
    process(lines(["error", kind, "the disk is full"]))
    with pytest.raises(error, match="^the disk is full$"):
        clean_apart(request_, tmp_path, Told())


@pytest.mark.parametrize("script", ["kill -9 $$", "exit 3", "exit 0"])
def test_a_process_that_dies(process, request_, tmp_path, script):
    process(script)
    with pytest.raises(DataError, match="^the upload was too much for the process that de-identifies it"):
        clean_apart(request_, tmp_path, Told())


class Ending(Told):
    """Says no as soon as a file is there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def advance(self, steps=1):
        if self.path.exists() and self.path.read_text():
            raise InputError("cancelled")


def test_a_process_that_hangs_is_ended_with_its_children(process, request_, tmp_path):
    child = tmp_path / "child"
    process(f"sleep 100 & echo $! > {child}\nwait")
    with pytest.raises(InputError, match="^cancelled$"):
        clean_apart(request_, tmp_path, Ending(child))
    assert not is_alive(child)


def test_a_process_that_takes_too_long(process, request_, tmp_path, monkeypatch):
    monkeypatch.setattr(cleaning_process, "_LONGEST_S", 0.3)
    process("sleep 100")
    with pytest.raises(InputError, match="^the upload takes more than .* hours"):
        clean_apart(request_, tmp_path, Told())


def test_sentences_do_not_name_the_folder():
    error = InputError("'/srv/review/sessions/session-1/room-2/originals' holds no DICOM object")
    assert sentence(error) == "the upload holds no DICOM object"


def said(monkeypatch, capsys, request_) -> list[list[object]]:
    """What the process itself says."""

    class Standard:
        def readline(self):
            return request_.model_dump_json()

    monkeypatch.setattr(cleaning_process.sys, "stdin", Standard())
    monkeypatch.setattr(cleaning_process, "_bound_memory", lambda: None)
    monkeypatch.setattr(cleaning_process, "route_logs", lambda: None)
    monkeypatch.setattr(cleaning_process, "_leave_with_parent", lambda: None)
    main()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_process_says_what_it_does(monkeypatch, capsys, request_):
    (error,) = [values for kind, *values in said(monkeypatch, capsys, request_) if kind == "error"]
    assert error == ["InputError", "the upload holds no DICOM object and no other image; it is empty"]


def test_the_process_says_nothing_of_what_is_unexpected(monkeypatch, capsys, request_):
    def fail(*_):
        raise ValueError("MARK")

    monkeypatch.setattr(cleaning_process, "clean", fail)
    assert said(monkeypatch, capsys, request_) == [["error", "DataError", "the upload cannot be read (ValueError)"]]


def test_the_process_passes_results_and_steps_on(monkeypatch, capsys, request_):
    from medseg.review.cleaning import CleanResult

    def clean(_, progress):
        progress.start("a", 2)
        progress.advance()
        progress.note("b")
        progress.finish()
        return CleanResult(notes=("c",))

    monkeypatch.setattr(cleaning_process, "clean", clean)
    start, step, note, (kind, result) = said(monkeypatch, capsys, request_)
    assert [start, step, note] == [["start", "a", 2], ["advance", 1], ["note", "b"]]
    assert (kind, CleanResult.model_validate(result).notes) == ("done", ("c",))


def test_a_process_whose_parent_dies_ends(request_, tmp_path):
    """The parent is killed while the process waits for a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "originals" / "a").write_bytes(b"x")
    script = (
        "import sys, subprocess, time\n"
        "import json\nfrom medseg.review.cleaning_process import CODE\n"
        "child = subprocess.Popen([sys.executable, '-c', CODE, json.dumps(sys.path)],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)\n"
        f"child.stdin.write({(request_.model_dump_json() + chr(10)).encode()!r}); child.stdin.flush()\n"
        f"open({str(tmp_path / 'number')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_for(tmp_path / "number")
    finally:
        parent.kill()
        parent.wait()
    until = time.monotonic() + 30
    while is_alive(tmp_path / "number") and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(tmp_path / "number")


def test_the_process_has_bounded_memory():
    script = (
        "from medseg.review.cleaning_process import _bound_memory, _MOST_MEMORY\n"
        "_bound_memory()\n"
        "try:\n    bytearray(_MOST_MEMORY)\nexcept MemoryError:\n    print('bounded')\n"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"bounded\n"
