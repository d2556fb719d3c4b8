"""The spool: nothing acknowledged is lost, nothing half-received stays, whatever happens when."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import time

import pydicom
import pytest
from dicom_bytes import IDENTITY, dicom_bytes, element
from network_objects import KEY, files_below, pixels, small_series

from medseg.core.errors import DataError, InputError, OutputError, ReadError
from medseg.core.pseudonyms import ProjectKey
from medseg.io import incoming as incoming_module
from medseg.io.spool import open_spool

STUDY_UID, SERIES_UID = element(0x0020000D, "UI", b"1.2.3"), element(0x0020000E, "UI", b"1.2.3.5")


def put(spool, path, expected=None):
    one = spool.receive(2**20)
    one.write(path.read_bytes())
    return spool.keep(one, expected)


def fill(spool, paths) -> str:
    (study,) = {put(spool, path).study for path in paths}
    return study


def test_objects_lie_under_pseudonyms_in_folders_of_their_study(tmp_path):
    paths = small_series(tmp_path / "in")
    with open_spool(tmp_path / "spool", KEY) as spool:
        study = fill(spool, paths)
        kept = files_below(tmp_path / "spool" / study)
        assert pixels(kept) == pixels(paths)
        assert spool.used_bytes == sum(path.stat().st_size for path in paths)
        assert study == spool.name(str(pydicom.dcmread(paths[0]).StudyInstanceUID))
    assert all(KEY.made_name(path.stem) and path.suffix == ".dcm" for path in kept)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert kept[0].stat().st_mode & 0o777 == 0o600


def test_same_instance_again_replaces_the_first(tmp_path):
    paths = small_series(tmp_path / "in", slices=1)
    with open_spool(tmp_path / "spool", KEY) as spool:
        fill(spool, paths)
        dataset = pydicom.dcmread(paths[0])
        dataset.SeriesDescription = "longer than before"
        dataset.save_as(paths[0])
        study = fill(spool, paths)
        (kept,) = files_below(tmp_path / "spool" / study)
        assert kept.read_bytes() == paths[0].read_bytes()
        assert spool.used_bytes == paths[0].stat().st_size


def test_study_is_quiet_when_nothing_came_for_long_enough(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        early, late = (fill(spool, small_series(tmp_path / name)) for name in ("a", "b"))
        now = time.time()
        os.utime(tmp_path / "spool" / early, (now - 100, now - 100))
        os.utime(tmp_path / "spool" / late, (now - 50, now - 50))
        assert spool.quiet(200) == ()
        assert spool.quiet(70) == (early,)
        assert spool.quiet(30) == (early, late)
        put(spool, small_series(tmp_path / "c", StudyInstanceUID=study_uid(tmp_path / "a"))[0])
        assert spool.quiet(30) == (late,)


def test_study_is_not_quiet_while_an_object_comes_that_may_be_its(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        study = fill(spool, small_series(tmp_path / "in"))
        coming, now = spool.receive(100), time.time()
        assert spool.quiet(60, now + 100) == ()
        assert spool.quiet(60, now + 3700) == (study,)
        os.utime(tmp_path / "spool" / study, (now - 70, now - 70))
        assert spool.quiet(60) == (study,)  # it was quiet before the object began
        os.utime(tmp_path / "spool" / study, (now, now))
        coming.discard()
        assert spool.quiet(60, now + 100) == (study,)


def study_uid(folder):
    return pydicom.dcmread(next(folder.iterdir())).StudyInstanceUID


def test_clock_set_back_makes_a_study_wait_once_more(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        study = fill(spool, small_series(tmp_path / "in"))
        past = time.time() - 86400
        assert spool.quiet(10, now=past) == ()
        assert spool.quiet(10, now=past + 11) == (study,)


def test_study_that_is_done_is_gone(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        study = fill(spool, small_series(tmp_path / "in"))
        taken = spool.take(study)
        assert len(files_below(taken)) == 3
        assert spool.quiet(0) == ()
        assert spool.done(study)
        assert spool.used_bytes == 0
        assert files_below(tmp_path / "spool") == []


def test_late_object_begins_a_round_that_sees_old_and_new(tmp_path):
    paths = small_series(tmp_path / "in", slices=4)
    with open_spool(tmp_path / "spool", KEY) as spool:
        study = fill(spool, paths[:3])
        taken = spool.take(study)
        fill(spool, paths[2:])  # one again, one new
        assert len(files_below(taken)) == 3
        assert spool.quiet(0, now=time.time() + 1) == ()
        assert not spool.done(study)
        assert spool.quiet(0, now=time.time() + 1) == (study,)
        assert pixels(files_below(spool.take(study))) == pixels(paths)
        assert spool.used_bytes == sum(path.stat().st_size for path in paths)
        assert spool.done(study)


def test_given_back_study_waits_from_now(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        study = fill(spool, small_series(tmp_path / "in"))
        os.utime(tmp_path / "spool" / study, (0, 0))
        spool.take(study)
        spool.give_back(study)
        assert spool.quiet(60) == ()
        assert spool.quiet(0, now=time.time() + 1) == (study,)


@pytest.mark.parametrize("name", ["study-0000000000000000", "../..", "working", ""])
def test_only_studies_of_the_spool_can_be_taken_or_done(tmp_path, name):
    with open_spool(tmp_path / "spool", KEY) as spool:
        with pytest.raises(InputError, match="not in the spool"):
            spool.take(name)
        with pytest.raises(InputError, match="not taken"):
            spool.done(name)
        with pytest.raises(InputError, match="not taken"):
            spool.give_back(name)


def test_restart_recovers_what_was_kept_and_drops_what_was_not(tmp_path):
    paths = small_series(tmp_path / "in", slices=4)
    other = small_series(tmp_path / "other")
    with open_spool(tmp_path / "spool", KEY) as spool:
        study, removed = fill(spool, paths[:3]), fill(spool, other)
        spool.take(study)
        fill(spool, paths[3:])
        half = spool.receive(100)
        half.write(b"half")
        spool.take(removed)
        (tmp_path / "spool" / "working" / removed).rename(tmp_path / "spool" / ".removed" / removed)
        (tmp_path / "spool" / spool.name("1.2.3")).mkdir()
        half._stream.close()
    with open_spool(tmp_path / "spool", KEY) as spool:
        assert spool.quiet(0, now=time.time() + 1) == (study,)
        assert spool.used_bytes == sum(path.stat().st_size for path in paths)
        assert pixels(files_below(tmp_path / "spool")) == pixels(paths)


def keep_for_ever(folder, paths, done):
    with open_spool(folder, KEY) as spool:
        for path in paths:
            put(spool, path)
            done.send(1)
        half = spool.receive(2**20)
        half.write(paths[0].read_bytes())
        done.send(2)
        time.sleep(60)


def test_kill_9_loses_nothing_that_was_kept(tmp_path):
    paths = small_series(tmp_path / "in")
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=keep_for_ever, args=(tmp_path / "spool", paths, theirs))
    process.start()
    assert [ours.recv() for _ in range(4)] == [1, 1, 1, 2]
    with pytest.raises(InputError, match="another process works with this spool"), open_spool(tmp_path / "spool", KEY):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with open_spool(tmp_path / "spool", KEY):
        assert pixels(files_below(tmp_path / "spool")) == pixels(paths)


@pytest.mark.parametrize("name", ["write", "fsync"])
def test_full_disk_refuses_and_leaves_nothing(tmp_path, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = small_series(tmp_path / "in", slices=1)[0]
    with open_spool(tmp_path / "spool", KEY) as spool:
        one = spool.receive(2**20)
        if name == "write":
            monkeypatch.setattr(one, "_stream", Stream(one._stream, full))
        else:
            monkeypatch.setattr(incoming_module.os, "fsync", full)
        with pytest.raises(OutputError, match="disk is full"):
            keep_all(spool, one, path)
        one.discard()
        assert files_below(tmp_path / "spool") == []
        assert spool.used_bytes == 0
        assert spool.quiet(0, now=time.time() + 1) == ()


def keep_all(spool, one, path):
    one.write(path.read_bytes())
    spool.keep(one)


class Stream:
    """A file that cannot be written to."""

    def __init__(self, stream, full):
        self.write = self.flush = full
        self.fileno, self.closed = stream.fileno, False
        self._stream = stream

    def close(self):
        self._stream.close()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_object_that_cannot_be_moved_leaves_no_study(tmp_path, monkeypatch):
    path = small_series(tmp_path / "in", slices=1)[0]
    with open_spool(tmp_path / "spool", KEY) as spool:
        one = spool.receive(2**20)
        one.write(path.read_bytes())
        monkeypatch.setattr(one, "move_to", lambda target: (tmp_path / "nothing").stat())
        with pytest.raises(OutputError, match="cannot be written to: No such file"):
            spool.keep(one)
        assert spool.quiet(0, now=time.time() + 1) == ()
        assert spool.used_bytes == 0


def test_limits_of_an_object_and_of_the_spool(tmp_path):
    path = small_series(tmp_path / "in", slices=1)[0]
    size = path.stat().st_size
    with open_spool(tmp_path / "spool", KEY, most_bytes=2 * size - 1) as spool:
        too_large, too_many = spool.receive(size - 1), spool.receive(size)
        with pytest.raises(OutputError, match="an object is larger than the limit"):
            too_large.write(path.read_bytes())
        assert spool.used_bytes == 0
        fill(spool, [path])
        with pytest.raises(OutputError, match="the spool holds its limit"):
            too_many.write(path.read_bytes())
        assert spool.used_bytes == size
        too_large.discard()
        too_many.discard()
        assert len(files_below(tmp_path / "spool")) == 1


def test_discarded_object_can_neither_grow_nor_be_kept(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        one = spool.receive(100)
        one.write(b"some")
        one.discard()
        one.discard()
        assert spool.used_bytes == 0
        with pytest.raises(OutputError, match="was cut"):
            one.write(b"more")
        with pytest.raises(OutputError, match="was cut"):
            spool.keep(one)


def test_what_is_no_object_with_uids_is_refused(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        text = spool.receive(100)
        text.write(b"no DICOM at all")
        with pytest.raises(ReadError, match="no DICOM object"):
            spool.keep(text)
        (path,) = small_series(tmp_path / "in", slices=1, StudyInstanceUID="")
        with pytest.raises(ReadError, match="without a SOP class"):
            put(spool, path)
        assert files_below(tmp_path / "spool") == []


@pytest.mark.parametrize(
    "elements",
    [
        (STUDY_UID,),
        (element(0x00200010, "SH", b"1"), STUDY_UID, SERIES_UID),
        (STUDY_UID, SERIES_UID, element(0x0020000D, "UI", b"1.2.4")),
    ],
    ids=["at the end", "out of order", "twice"],
)
def test_object_whose_uids_readers_disagree_on_is_refused(tmp_path, elements):
    (tmp_path / "a").write_bytes(dicom_bytes(IDENTITY, *elements))
    with open_spool(tmp_path / "spool", KEY) as spool:
        with pytest.raises(ReadError, match=r"UIDs twice|ends inside an element"):
            put(spool, tmp_path / "a")
        assert files_below(tmp_path / "spool") == []


def test_object_that_was_not_announced_is_refused(tmp_path):
    (path,) = small_series(tmp_path / "in", slices=1)
    dataset = pydicom.dcmread(path)
    with open_spool(tmp_path / "spool", KEY) as spool:
        with pytest.raises(DataError, match="another SOP class or instance"):
            put(spool, path, (dataset.SOPClassUID, "1.2.3"))
        put(spool, path, (dataset.SOPClassUID, dataset.SOPInstanceUID))


def test_spool_that_others_may_enter_is_refused(tmp_path):
    (tmp_path / "spool").mkdir(mode=0o755)
    with pytest.raises(InputError, match="others may enter"), open_spool(tmp_path / "spool", KEY):
        pass


def test_spool_of_another_key_is_refused(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        fill(spool, small_series(tmp_path / "in", slices=1))
    with (
        pytest.raises(InputError, match="another project key"),
        open_spool(tmp_path / "spool", ProjectKey(bytes(32))),
    ):
        pass


def test_spool_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "spool").write_text("")
    with pytest.raises(OutputError, match="cannot be written to"), open_spool(tmp_path / "spool", KEY):
        pass


def test_system_without_file_locks(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(InputError, match="needs the file locks"), open_spool(tmp_path / "spool", KEY):
        pass
