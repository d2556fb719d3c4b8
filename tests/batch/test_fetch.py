"""Studies from a server: fetched ahead of their turn, forgotten after it."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from network_objects import KEY, small_series

from medseg.batch.discover import study_name
from medseg.batch.fetch import WebTasks, web_study
from medseg.batch.records import Status, StudyResult, StudyTask
from medseg.core.errors import ReadError
from medseg.io.dicom_web import WebSeries, WebStudy
from medseg.io.spool import open_spool

UIDS = {study_name(KEY, f"1.2.{number}"): f"1.2.{number}" for number in range(4)}


class Server:
    """Has a series of two slices for each study, but for those that are missing."""

    def __init__(self, folder: Path, missing=()):
        self.folder, self.missing, self.fetched, self.series = folder, missing, [], []

    def find_series(self, _uid):
        return self.series

    def fetch_study(self, uid, spool):
        self.fetched.append(uid)
        if uid in self.missing:
            raise ReadError("the server does not have this study")
        for path in small_series(self.folder / "served", slices=2, StudyInstanceUID=uid):
            one = spool.receive(2**20)
            one.write(path.read_bytes())
            spool.keep(one)
        shutil.rmtree(self.folder / "served")


def soon(tasks: WebTasks) -> StudyTask:
    """The next task, once it has come."""
    ends = time.monotonic() + 10
    while (task := tasks.next()) is None and time.monotonic() < ends:
        time.sleep(0.01)
    assert task is not None
    return task


def test_studies_come_one_by_one_and_are_forgotten(tmp_path):
    server = Server(tmp_path)
    with open_spool(tmp_path / "spool", KEY) as spool:
        tasks = WebTasks(server, spool, [StudyTask(name, (), "1") for name in UIDS], UIDS)
        for name in UIDS:
            assert not tasks.are_over
            task = soon(tasks)
            assert (task.name, len(task.paths), task.problem) == (name, 2, "")
            assert all(Path(path).is_file() for path in task.paths)
            assert len(server.fetched) <= list(UIDS).index(name) + 3  # no more than two ahead
            tasks.ended(StudyResult(name, "1", Status.DONE))
            assert not any(Path(path).exists() for path in task.paths)
        assert tasks.are_over
        tasks.close()


def test_a_study_that_cannot_be_fetched_says_why(tmp_path):
    with open_spool(tmp_path / "spool", KEY) as spool:
        tasks = WebTasks(Server(tmp_path, ["1.2.0"]), spool, [StudyTask(name, (), "1") for name in UIDS], UIDS)
        task = soon(tasks)
        assert task.problem == "it cannot be fetched: the server does not have this study"
        assert task.paths == ()
        tasks.ended(StudyResult(task.name, "1", Status.FAILED))
        assert soon(tasks).problem == ""
        tasks.close()


@pytest.mark.parametrize("other", [WebStudy("1.2", ("CT",), 4), WebStudy("1.2", ("CT", "MR"), 3)])
def test_a_study_has_another_version_when_the_server_says_something_else_of_it(tmp_path, other):
    study, server = WebStudy("1.2", ("CT",), 3), Server(tmp_path)
    assert web_study(server, study, "a").version == web_study(server, study, "a").version
    assert web_study(server, study, "a").version != web_study(server, other, "a").version
    assert "1.2" not in repr(web_study(server, study, "a"))


def test_results_that_were_stored_on_the_server_make_no_new_version(tmp_path):
    server = Server(tmp_path)
    before = web_study(server, WebStudy("1.2", ("CT",), 3), "a").version
    server.series = [WebSeries(f"1.2.{n}", kind, "", "", n) for n, kind in enumerate(("SEG", "SR", "SEG", "CT"))]
    with_results = WebStudy("1.2", ("SR", "CT", "SEG"), 3 + 0 + 1 + 2)
    assert web_study(server, with_results, "a").version == before
    assert web_study(server, replace(with_results, objects=7), "a").version != before
    unknown = replace(with_results, objects=None)
    assert web_study(server, unknown, "a").version != before
