"""Studies are taken when their files have stopped to change, and not before."""

from __future__ import annotations

import os
import shutil
import threading

import pytest
from batch_studies import KEY, STUDY_UID, datasets, write_study
from dicom_factories import write_files

from medseg.batch import watch
from medseg.batch.discover import find_studies, study_name
from medseg.batch.records import Status, StudyResult, StudyTask
from medseg.batch.watch import WatchedTasks, Watcher
from medseg.io import listing

QUIET_S = 60.0
OTHER = "1.2.826.0.1.3680043.8.498.77"
NAME, OTHER_NAME = study_name(KEY, STUDY_UID), study_name(KEY, OTHER)


def watcher(folder) -> Watcher:
    return Watcher(folder, KEY, QUIET_S)


def seen(looks: Watcher, *times: float) -> list[list[str]]:
    return [[one.name for one in looks.look(now)] for now in times]


def test_a_study_is_taken_once_it_has_rested_and_stays(tmp_path):
    write_study(tmp_path / "a")
    looks = watcher(tmp_path)
    assert seen(looks, 0, 59.9, 60, 1000) == [[], [], [NAME], [NAME]]
    (study,) = looks.look(1001)
    (found,) = find_studies(tmp_path, KEY).studies
    assert (study.paths, study.version, study.damaged) == (found.paths, found.version, 0)


def test_a_file_that_grows_holds_up_its_study_but_no_other_of_its_folder(tmp_path):
    growing = write_files(tmp_path, [*datasets(), *datasets(StudyInstanceUID=OTHER)])[0]
    looks = watcher(tmp_path)
    assert seen(looks, 0) == [[]]
    for now in (30, 60, 90):
        with growing.open("ab") as stream:
            stream.write(b"more")
        assert seen(looks, now) == [[OTHER_NAME] if now >= 60 else []]
    assert seen(looks, 149, 150) == [[OTHER_NAME], sorted([NAME, OTHER_NAME])]


def test_a_file_that_has_only_begun_holds_up_its_folder(tmp_path):
    paths = write_study(tmp_path / "a")
    write_study(tmp_path / "b", StudyInstanceUID=OTHER)
    content = paths[0].read_bytes()
    paths[0].write_bytes(content[:300])
    looks = watcher(tmp_path)
    assert seen(looks, 0, 30) == [[], []]
    paths[0].write_bytes(content[:400])
    assert seen(looks, 60, 89) == [[OTHER_NAME]] * 2
    paths[0].write_bytes(content)
    assert seen(looks, 119, 178, 179) == [[OTHER_NAME], [OTHER_NAME], sorted([NAME, OTHER_NAME])]
    assert [one.damaged for one in looks.look(180)] == [0, 0]


@pytest.mark.parametrize("content", [b"", b"x" * 200, bytes(5000)])
def test_a_file_that_never_becomes_dicom_holds_up_for_a_while_only(tmp_path, content):
    write_study(tmp_path)
    looks = watcher(tmp_path)
    assert seen(looks, 0) == [[]]
    (tmp_path / "odd").write_bytes(content)
    assert seen(looks, 59, 118, 119) == [[], [], [NAME]]
    assert looks.look(120)[0].damaged == (content == b"")


def test_a_damaged_file_that_rests_is_told_and_the_study_changes_when_it_goes(tmp_path):
    paths = write_study(tmp_path)
    paths[0].write_bytes(paths[0].read_bytes()[:300])
    looks = watcher(tmp_path)
    looks.look(0)
    assert [one.damaged for one in looks.look(60)] == [1]
    paths[0].unlink()
    assert [one.damaged for one in looks.look(61)] == [0]


def test_times_that_a_copy_brings_along_say_nothing(tmp_path):
    source, folder = write_study(tmp_path / "source"), tmp_path / "in"
    folder.mkdir()
    looks = watcher(folder)
    for now, path in enumerate(source):
        copied = folder / path.name
        shutil.copy(path, copied)
        os.utime(copied, (1e9, 1e9))
        assert seen(looks, now * 50) == [[]]
    assert seen(looks, 450 + 59, 450 + 60) == [[], [NAME]]


def test_a_file_that_is_rewritten_in_its_size_with_its_old_time_has_changed(tmp_path):
    path = write_study(tmp_path)[0]
    looks, before, content = watcher(tmp_path), path.stat(), path.read_bytes()
    assert seen(looks, 0) == [[]]
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert seen(looks, 59, 118, 119) == [[], [], [NAME]]


def test_a_study_that_is_being_copied_into_two_folders_is_one(tmp_path):
    made = datasets()
    write_files(tmp_path / "one", made[:5])
    looks = watcher(tmp_path)
    assert seen(looks, 0) == [[]]
    write_files(tmp_path / "two", made[5:7])
    assert seen(looks, 59, 60, 118) == [[], [], []]
    write_files(tmp_path / "two" / "deep", made[7:])
    assert seen(looks, 118, 177) == [[], []]
    (study,) = looks.look(178)
    assert len(study.paths) == 10


def test_files_that_go_are_forgotten(tmp_path):
    paths = write_study(tmp_path / "a")
    looks = watcher(tmp_path)
    looks.look(0)
    (before,) = looks.look(60)
    paths[3].unlink()
    (fewer,) = looks.look(61)
    assert (len(fewer.paths), fewer.version == before.version) == (9, False)
    shutil.rmtree(tmp_path / "a")
    assert looks.look(62) == ()
    shutil.rmtree(tmp_path)
    assert looks.look(63) == ()


def test_a_file_that_is_replaced_waits_and_changes_the_study(tmp_path):
    paths = write_study(tmp_path)
    looks = watcher(tmp_path)
    looks.look(0)
    (before,) = looks.look(60)
    shutil.copy(write_study(tmp_path.parent / "other", StudyInstanceUID=OTHER)[0], paths[0])
    assert seen(looks, 61) == [[NAME]]
    after = {one.name: one for one in looks.look(200)}
    assert len(after[NAME].paths) == 9
    assert after[NAME].version != before.version
    assert len(after[OTHER_NAME].paths) == 1


def test_a_file_that_goes_while_it_is_looked_at_is_not_there(tmp_path, monkeypatch):
    paths = write_study(tmp_path)
    listed = listing.list_files(tmp_path)
    paths[0].unlink()
    monkeypatch.setattr(watch, "list_files", lambda _: listed)
    looks = watcher(tmp_path)
    looks.look(0)
    assert len(looks.look(60)[0].paths) == 9


class Clock:
    """A clock that goes when it is told to, in the place of the module ``time``."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(watch, "time", made := Clock())
    return made


def tasks_of(folder, stop, asked):
    def left(studies):
        found = [StudyTask(one.name, one.paths, one.version) for one in studies]
        asked.append([one.name for one in found])
        return found

    return WatchedTasks(watcher(folder), left, 5.0, stop)


def ended(task: StudyTask) -> StudyResult:
    return StudyResult(task.name, task.version, Status.DONE)


def test_tasks_come_when_studies_rest_and_each_version_comes_once(tmp_path, clock):
    write_study(tmp_path / "a")
    stop, asked = threading.Event(), []
    tasks = tasks_of(tmp_path, stop, asked)
    assert (tasks.next(), tasks.are_over) == (None, False)
    clock.now += 60
    task = tasks.next()
    assert (task.name, len(task.paths)) == (NAME, 10)
    clock.now += 100
    assert tasks.next() is None
    tasks.ended(ended(task))
    clock.now += 100
    assert tasks.next() is None
    assert asked == [[NAME]]


def test_a_study_that_changes_while_in_hand_comes_again_afterwards(tmp_path, clock):
    paths = write_study(tmp_path / "a")
    tasks = tasks_of(tmp_path, threading.Event(), [])
    tasks.next()
    clock.now += 60
    task = tasks.next()
    paths[0].unlink()
    clock.now += 100
    assert tasks.next() is None
    tasks.ended(ended(task))
    clock.now += 5
    again = tasks.next()
    assert (again.name, len(again.paths)) == (NAME, 9)
    assert again.version != task.version


def test_a_study_comes_again_when_the_damaged_file_beside_it_goes(tmp_path, clock):
    write_study(tmp_path)
    (tmp_path / "empty").touch()
    tasks = tasks_of(tmp_path, threading.Event(), [])
    tasks.next()
    clock.now += 60
    tasks.ended(ended(tasks.next()))
    (tmp_path / "empty").unlink()
    clock.now += 5
    assert tasks.next().name == NAME


def test_the_folder_is_looked_at_now_and_then_and_not_while_tasks_wait(tmp_path, clock, monkeypatch):
    write_study(tmp_path / "a")
    write_study(tmp_path / "b", StudyInstanceUID=OTHER)
    looks = []
    tasks = tasks_of(tmp_path, threading.Event(), [])
    look = tasks._watcher.look
    monkeypatch.setattr(tasks._watcher, "look", lambda now: looks.append(now) or look(now))
    for _ in range(3):
        tasks.next()
    clock.now += 4.9
    tasks.next()
    assert looks == [1000.0]
    clock.now += 60
    assert {tasks.next().name, tasks.next().name} == {NAME, OTHER_NAME}
    assert len(looks) == 2


def test_a_stop_ends_it_though_studies_wait(tmp_path, clock):
    write_study(tmp_path / "a")
    write_study(tmp_path / "b", StudyInstanceUID=OTHER)
    stop = threading.Event()
    tasks = tasks_of(tmp_path, stop, [])
    tasks.next()
    clock.now += 60
    assert tasks.next() is not None
    stop.set()
    assert tasks.next() is None
    assert tasks.are_over
