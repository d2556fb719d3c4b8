"""Folders of sessions: private, counted, and gone when the session or its process ends, however it ends."""

from __future__ import annotations

import errno
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from medseg.config.review import ReviewLimits
from medseg.core.errors import InputError, OutputError
from medseg.review import session_files
from medseg.review.session_files import CANCELLED, CLOSED, SessionFiles

SMALL = ReviewLimits(session_mb=64)
OTHER_PROCESS = """
import sys, time
from pathlib import Path
from medseg.review.session_files import SessionFiles
room = SessionFiles(Path(sys.argv[1])).open("anna").new_room()
(room.path / "image").write_bytes(b"voxels")
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "review"


@pytest.fixture
def files(root):
    made = SessionFiles(root, SMALL)
    yield made
    made.close()


def folders(root: Path) -> list[Path]:
    return sorted((root / "sessions").glob("session-*"))


def test_each_session_has_a_private_folder_of_its_own(root, files):
    one, two = files.open("anna"), files.open("bert")
    assert len(folders(root)) == 2
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in [root / "sessions", *folders(root)])
    assert files.sessions() == (one, two)
    assert (one.owner, two.owner) == ("anna", "bert")
    room, other = one.new_room(), two.new_room()
    assert stat.S_IMODE(room.path.stat().st_mode) == 0o700
    assert room.path.parent != other.path.parent
    assert "anna" not in str(room.path)
    one.close()
    assert not room.path.exists()
    assert other.path.exists()
    assert files.sessions() == (two,)
    files.close()
    assert folders(root) == []
    assert files.sessions() == ()
    one.close()


def test_a_folder_that_others_may_enter_is_refused(root):
    (root / "sessions").mkdir(parents=True)
    (root / "sessions").chmod(0o755)
    with pytest.raises(InputError, match="others may enter the folder of uploads") as caught:
        SessionFiles(root)
    assert str(root) not in str(caught.value)


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(root):
    process = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        (left,) = folders(root)
        files = SessionFiles(root)
        mine = files.open("bert")
        assert left in folders(root)
        assert [path.read_bytes() for path in left.rglob("image")] == [b"voxels"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        again = SessionFiles(root)
        assert left not in folders(root)
        assert len(folders(root)) == 1
        assert mine.is_open
        mine.new_room()
        again.close()
        files.close()
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert folders(root) == []


def test_what_is_no_session_of_ours_stays(root, files, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (root / "sessions" / "session-link").symlink_to(tmp_path / "elsewhere")
    (root / "sessions" / "session-file").write_text("mine")
    (root / "sessions" / "others").mkdir()
    SessionFiles(root)
    assert (tmp_path / "elsewhere").is_dir()
    assert (root / "sessions" / "session-file").exists()
    assert (root / "sessions" / "others").is_dir()


def test_a_folder_that_cannot_be_written_to_is_told_without_its_path(root, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(root))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", full)
        with pytest.raises(OutputError, match="^the folder of uploads cannot be written to: the disk is full$"):
            SessionFiles(root)
    files = SessionFiles(root)
    session = files.open("anna")
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OutputError, match="the disk is full"):
        session.new_room()
    with pytest.raises(OutputError, match="the disk is full"):
        files.open("bert")


def test_a_process_that_does_not_let_go(root, files, monkeypatch):
    monkeypatch.setattr(session_files, "_PATIENCE_S", 0.1)
    with (
        FileLock(root / "sessions" / ".lock"),
        pytest.raises(OutputError, match="another process does not let go of the folder of uploads"),
    ):
        files.open("anna")


def test_a_file_system_without_locks(root, monkeypatch):
    def without(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", without)
    with pytest.raises(OutputError, match="on a file system without locks"):
        SessionFiles(root)


def test_bytes_are_counted_and_limited(files):
    session = files.open("anna")
    room = session.new_room()
    room.take(40 * 2**20)
    with pytest.raises(InputError, match="^temporary files of this session reach the limit of 64 MB"):
        session.new_room().take(25 * 2**20)
    assert session.used == 40 * 2**20
    room.remove()
    room.remove()
    assert session.used == 0
    assert not room.path.exists()


def test_what_lies_there_counts_in_the_end(files, monkeypatch):
    session = files.open("anna")
    room = session.new_room()
    room.take(10_000)
    (room.path / "folder").mkdir()
    (room.path / "folder" / "file").write_bytes(bytes(3000))
    room.settle()
    assert session.used == 3000
    (room.path / "other").write_bytes(bytes(2000))
    room.settle()
    assert session.used == 5000
    monkeypatch.setattr(session, "_most_bytes", 6000)
    (room.path / "third").write_bytes(bytes(2000))
    with pytest.raises(InputError, match="reach the limit of 0 MB"):
        room.settle()


def test_many_threads_count_rightly(files):
    session = files.open("anna")
    room = session.new_room()

    def count():
        for _ in range(500):
            session.take(7)
            session.give(5)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.used == 8000
    assert room.path.exists()


def test_a_room_goes_if_what_fills_it_fails(files):
    session = files.open("anna")
    room = session.new_room()

    def begin():
        room.take(5)
        (room.path / "file").write_bytes(b"12345")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"), room.or_nothing():
        begin()
    assert not room.path.exists()
    assert session.used == 0


def worked(session, *steps):
    """Do these things as one piece of work, the last one with the work itself."""
    with session.working() as work:
        for step in steps[:-1]:
            step()
        steps[-1](work)


def fail(_work):
    raise OSError("a consequence")


def go_on(work):
    work.check()


def test_work_that_is_cancelled_ends_for_that_reason(files):
    session = files.open("anna")
    for last in (go_on, fail, lambda work: None):
        with pytest.raises(InputError, match=f"^{CANCELLED}$"):
            worked(session, session.cancel, last)
    worked(session, go_on)
    assert session.is_open


def test_a_session_that_ends_during_work_leaves_nothing(root, files):
    session = files.open("anna")
    room = session.new_room()

    def write():
        """As work in another process may still do."""
        assert not room.path.exists()
        room.path.mkdir(parents=True)
        (room.path / "late").write_bytes(b"voxels")

    with pytest.raises(InputError, match=f"^{CLOSED}$"):
        worked(session, session.close, write, session.cancel, go_on)
    assert folders(root) == []
    with pytest.raises(InputError, match=CLOSED):
        worked(session, go_on)
    with pytest.raises(InputError, match=CLOSED):
        session.new_room()


def test_two_works_of_a_closed_session_leave_nothing(root, files):
    session = files.open("anna")
    room = session.new_room()

    def inner():
        with pytest.raises(InputError, match=CLOSED):
            worked(session, session.close, go_on)
        room.path.mkdir(parents=True)

    with pytest.raises(InputError, match=CLOSED):
        worked(session, inner, go_on)
    assert folders(root) == []


def test_other_errors_of_work_are_its_own(files):
    with pytest.raises(OSError, match="a consequence"):
        worked(files.open("anna"), fail)
