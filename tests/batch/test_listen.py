"""Studies out of a spool and results back: nothing leaves the spool before its results have arrived."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest
from network_objects import KEY, small_series

from medseg.batch import listen
from medseg.batch.listen import Return, SpooledTasks
from medseg.batch.records import Status, StudyResult, StudyTask
from medseg.core.errors import InputError
from medseg.core.progress import SILENT
from medseg.io.dicom_net import SendOutcome
from medseg.io.spool import open_spool


class Notes:
    start = advance = finish = staticmethod(lambda *_: None)

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


class Setting:
    """A spool, its tasks, and a receiver that answers as told."""

    def __init__(self, folder: Path, spool, quiet_s=0.0, deliver=True):
        self.folder, self.spool, self.answers, self.sent, self.notes = folder, spool, [], [], Notes()
        self.refused: set[str] = set()
        self.done_before: set[str] = set()
        self.stop = threading.Event()
        back = Return(self.deliver if deliver else None, folder / "studies", folder / "failed", self.notes)
        self.tasks = SpooledTasks(spool, quiet_s, self.left, back, self.stop)

    def deliver(self, paths):
        self.sent.append([path.name for path in paths])
        answer = self.answers.pop(0) if self.answers else ""
        if isinstance(answer, Exception):
            raise answer
        refused = [path.name in self.refused for path in paths]
        return [
            SendOutcome(path, not (answer or final), 0, "refused for good" if final else answer, final)
            for path, final in zip(paths, refused, strict=True)
        ]

    def left(self, folder: Path):
        task = StudyTask(folder.name, tuple(map(str, sorted(folder.iterdir()))), "1")
        return task, folder.name not in self.done_before

    def arrive(self, **elements) -> str:
        for path in small_series(self.folder / "in", slices=2, **elements):
            one = self.spool.receive(2**20)
            one.write(path.read_bytes())
            study = self.spool.keep(one).study
        shutil.rmtree(self.folder / "in")
        return study

    def finish(self, study: str, status=Status.DONE) -> None:
        if status is Status.DONE:
            (self.folder / "studies" / study).mkdir(parents=True, exist_ok=True)
            for name in ("seg.dcm", "report.dcm", "preview.jpg"):
                (self.folder / "studies" / study / name).write_bytes(b"x")
        self.tasks.ended(StudyResult(study, "1", status))

    def settle(self) -> None:
        ends = time.monotonic() + 5
        while self.tasks._settle() and time.monotonic() < ends:
            time.sleep(0.01)

    def in_spool(self) -> list[str]:
        return [path.name for path in (self.folder / "spool").rglob("*.dcm")]


@pytest.fixture
def setting(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        one = Setting(tmp_path, spool)
        yield one
        one.tasks.close()


def test_a_study_at_rest_is_handed_out_and_leaves_when_its_results_have_arrived(setting):
    study = setting.arrive()
    task = setting.tasks.next()
    assert (task.name, len(task.paths)) == (study, 2)
    assert setting.tasks.next() is None
    setting.finish(study)
    setting.settle()
    assert setting.sent == [["report.dcm", "seg.dcm"]]
    assert setting.in_spool() == []
    assert setting.notes.texts == []


def test_a_study_that_still_comes_is_left_alone(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        setting = Setting(tmp_path, spool, quiet_s=60)
        setting.arrive()
        assert setting.tasks.next() is None
        setting.tasks.close()


@pytest.mark.parametrize("answer", ["the receiver is out of resources", InputError("no answer")])
def test_what_cannot_be_delivered_waits_and_is_tried_again(setting, answer):
    setting.answers = [answer]
    study = setting.arrive()
    setting.tasks.next()
    setting.finish(study)
    setting.settle()
    assert len(setting.in_spool()) == 2
    assert f"{study}: not delivered, " in setting.notes.texts[0]
    setting.done_before = {study}
    assert setting.tasks.next() is None  # done already, so it is only sent again
    setting.settle()
    assert len(setting.sent) == 2
    assert setting.in_spool() == []


def test_what_the_receiver_refuses_for_good_is_told_once_and_stays_here(setting):
    setting.refused = {"report.dcm"}
    study = setting.arrive()
    setting.tasks.next()
    setting.finish(study)
    setting.settle()
    assert setting.in_spool() == []
    assert setting.notes.texts == [
        f"{study}: not delivered, 1 of 2 objects: refused for good; it stays in the output folder"
    ]
    assert (setting.folder / "studies" / study / "report.dcm").exists()


def test_each_try_waits_longer_than_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "_LONGEST_WAIT_S", 50.0)
    with open_spool(tmp_path / "spool", KEY) as spool:
        setting = Setting(tmp_path, spool, quiet_s=20.0)
        setting.answers, setting.refused = ["no room"] * 4, {"report.dcm"}
        study, waits = setting.arrive(), []
        for _ in range(4):
            setting.tasks._hands[study] = listen._Hand(spool.take(study))
            setting.finish(study)
            setting.settle()
            waits.append(setting.tasks._waits[study].seconds)
        assert waits == [20, 40, 50, 50]
        assert "2 of 2 objects: no room; it is tried again" in setting.notes.texts[0]
        monkeypatch.setattr(spool, "quiet", lambda _: (study,))
        assert setting.tasks.next() is None
        setting.tasks._waits[study] = listen._Wait(50.0, 0.0)
        setting.tasks._looked = -100.0
        assert setting.tasks.next().name == study
        setting.tasks.close()


def test_after_a_crash_a_study_comes_again_and_is_only_sent(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        before = Setting(tmp_path, spool)
        study = before.arrive()
        before.tasks.next()
        before.tasks.close()
    with open_spool(tmp_path / "spool", KEY) as spool:
        after = Setting(tmp_path, spool)
        after.done_before = {study}
        after.finish_files = (tmp_path / "studies" / study).mkdir(parents=True)
        (tmp_path / "studies" / study / "seg.dcm").write_bytes(b"x")
        assert after.tasks.next() is None
        after.settle()
        assert after.sent == [["seg.dcm"]]
        assert after.in_spool() == []
        after.tasks.close()


def test_a_study_that_comes_back_with_its_results_is_not_answered_again(setting):
    study = setting.arrive(StudyInstanceUID="1.2.3")
    results = setting.folder / "studies" / study
    first, second = small_series(results, slices=2, StudyInstanceUID="1.2.3")
    for path in (first, second):
        path.rename(path.with_suffix(".dcm"))
    setting.done_before = {study}
    assert setting.tasks.next() is None
    setting.settle()
    assert (len(setting.sent), setting.in_spool()) == (1, [])  # sent once, as somebody asked for them again

    setting.arrive(StudyInstanceUID="1.2.3")
    _put(setting, study, first.with_suffix(".dcm"))
    assert setting.tasks.next() is None
    setting.settle()
    assert len(setting.sent) == 2  # one of two results came back, so the other may be missing there

    setting.arrive(StudyInstanceUID="1.2.3")
    _put(setting, study, first.with_suffix(".dcm"), second.with_suffix(".dcm"))
    assert setting.tasks.next() is None
    setting.settle()
    assert (len(setting.sent), setting.in_spool()) == (2, [])


def _put(setting, study, *paths):
    for path in paths:
        one = setting.spool.receive(2**20)
        one.write(path.read_bytes())
        assert setting.spool.keep(one).study == study


def test_what_comes_meanwhile_makes_another_round(setting):
    study = setting.arrive(StudyInstanceUID="1.2.3")
    setting.tasks.next()
    assert setting.arrive(StudyInstanceUID="1.2.3") == study
    setting.finish(study)
    setting.settle()
    assert len(setting.in_spool()) == 4
    assert len(setting.tasks.next().paths) == 4


def test_a_study_that_failed_is_set_aside(setting):
    study = setting.arrive()
    setting.tasks.next()
    setting.finish(study, Status.FAILED)
    assert setting.in_spool() == []
    assert len(list((setting.folder / "failed" / study).iterdir())) == 2
    assert setting.sent == []
    setting.arrive(StudyInstanceUID="1.2.3")


def test_all_that_came_for_a_study_that_failed_is_set_aside(setting):
    study = setting.arrive()
    (setting.folder / "spool" / study / "odd.dcm").write_bytes(b"x")
    setting.tasks._left = lambda folder: (StudyTask(folder.name, (), "1"), True)
    setting.tasks.next()
    setting.finish(study, Status.FAILED)
    assert len(list((setting.folder / "failed" / study).iterdir())) == 3


def test_another_disk_gets_a_copy(setting, monkeypatch):
    monkeypatch.setattr(listen.os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "cross-device")))
    study = setting.arrive()
    setting.tasks.next()
    setting.finish(study, Status.FAILED)
    assert len(list((setting.folder / "failed" / study).iterdir())) == 2


def test_a_study_that_cannot_be_set_aside_stays_in_the_spool(setting):
    (setting.folder / "failed").write_text("in the way")
    study = setting.arrive()
    setting.tasks.next()
    setting.finish(study, Status.FAILED)
    assert len(setting.in_spool()) == 2
    assert f"{study}: stays in the spool" in setting.notes.texts[0]


def test_a_study_for_which_there_is_no_room_stays_in_the_spool(setting):
    study = setting.arrive()
    setting.tasks.next()
    setting.tasks.ended(StudyResult(study, "1", Status.FAILED, "the disk is full", lacks_room=True))
    assert len(setting.in_spool()) == 2
    assert not (setting.folder / "failed").exists()
    assert f"{study}: stays in the spool until there is room" in setting.notes.texts[0]


def test_a_study_that_was_skipped_is_forgotten(setting):
    study = setting.arrive()
    setting.tasks.next()
    setting.finish(study, Status.SKIPPED)
    assert setting.in_spool() == []
    assert not (setting.folder / "failed").exists()


def test_without_a_destination_results_stay_here(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        setting = Setting(tmp_path, spool, deliver=False)
        study = setting.arrive()
        setting.tasks.next()
        setting.finish(study)
        setting.settle()
        assert setting.in_spool() == []
        assert setting.sent == []
        setting.tasks.close()


def test_stopping_waits_for_what_is_sent_and_begins_nothing(setting):
    study = setting.arrive()
    setting.tasks.next()
    setting.arrive(StudyInstanceUID="1.2.3")
    setting.stop.set()
    assert setting.tasks.next() is None
    setting.finish(study)
    while not setting.tasks.are_over:
        time.sleep(0.01)
    assert len(setting.in_spool()) == 2


def test_what_was_not_sent_before_the_end_stays_in_the_spool(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        setting = Setting(tmp_path, spool)
        begun, go_on = threading.Event(), threading.Event()
        back = Return(lambda paths: (begun.set(), go_on.wait(5), [])[2], tmp_path / "studies", tmp_path, SILENT)
        setting.tasks = SpooledTasks(spool, 0.0, setting.left, back, setting.stop)
        studies = [setting.arrive(StudyInstanceUID=f"1.2.{number}") for number in range(2)]
        for _ in studies:
            setting.finish(setting.tasks.next().name)
        begun.wait(5)
        threading.Timer(0.2, go_on.set).start()
        setting.tasks.close()
        assert len(setting.in_spool()) == 2
