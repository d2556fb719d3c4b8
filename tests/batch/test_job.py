"""What is left to do of a batch, and what a run that was killed left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from batch_studies import KEY, Here, Says, files_below, settings, write_model, write_study

from medseg.batch import job as module
from medseg.batch.discover import find_studies
from medseg.batch.engine import ListedTasks
from medseg.batch.job import Job, TaskMaker, versions
from medseg.batch.manifest import open_manifest, read_manifest
from medseg.batch.outputs import ResultForm
from medseg.batch.receipt import FILE, read_receipt, write_receipt
from medseg.batch.records import Status, StudyResult, StudyTask
from medseg.batch.work import STUDIES, WorkSettings, open_worker
from medseg.config.selection import SelectionSection
from medseg.core.errors import OutputError

OTHER = "1.2.826.0.1.3680043.8.498.77"


@contextmanager
def a_job(chosen: WorkSettings, retry=True, keeps_done=False) -> Iterator[tuple[Job, list[StudyTask]]]:
    """A job that has begun, and what is left of the studies in ``in``."""
    with open_manifest(chosen.output, "model") as manifest:
        job = Job(chosen.output, manifest, retry, keeps_done)
        job.begin(chosen)
        maker = TaskMaker.of(chosen)
        found = find_studies(chosen.output.parent / "in", KEY).studies
        yield job, job.left(maker.task(one) for one in found)


def run(chosen: WorkSettings, engine=None, retry=True) -> list[StudyResult]:
    """What becomes of all studies that are left."""
    engine = engine or Here(partial(open_worker, chosen, 1))
    with a_job(chosen, retry) as (job, left):
        return list(job.run(engine, ListedTasks(left)))


@pytest.fixture
def chosen(tmp_path) -> WorkSettings:
    write_study(tmp_path / "in" / "a")
    write_study(tmp_path / "in" / "b", StudyInstanceUID=OTHER)
    return settings(tmp_path)


def is_whole(chosen: WorkSettings) -> bool:
    """Whether the manifest, the receipts and the files tell the same, and nothing else lies there."""
    with read_manifest(chosen.output) as manifest:
        rows = [row.result for row in manifest.rows() if row.result.status is Status.DONE]
    names = {f"{row.name}/{one.name}" for row in rows for one in row.outputs} | {f"{row.name}/{FILE}" for row in rows}
    receipts = [read_receipt(chosen.output / STUDIES / row.name) for row in rows]
    same = all(
        one.outputs == row.outputs and one.version == row.version for one, row in zip(receipts, rows, strict=True)
    )
    return same and set(files_below(chosen.output / STUDIES)) == names


def test_a_second_run_has_nothing_to_do(chosen):
    assert [result.status for result in run(chosen)] == [Status.DONE] * 2
    assert is_whole(chosen)
    assert run(chosen) == []
    with read_manifest(chosen.output) as manifest:
        assert len(manifest.runs()) == 2
        assert manifest.runs()[0][1] == versions()


def test_what_was_finished_without_being_recorded_is_taken_over(chosen):
    results = run(chosen)
    (chosen.output / "manifest.sqlite").unlink()
    assert run(chosen) == []
    with read_manifest(chosen.output) as manifest:
        found = [row.result for row in manifest.rows()]
    assert [one.outputs for one in found] == [one.outputs for one in results]
    assert [one.measured for one in found] == [one.measured for one in results]
    assert is_whole(chosen)


def test_a_result_whose_files_are_not_there_is_made_again(chosen):
    first, second = run(chosen)
    (path,) = (chosen.output / STUDIES / first.name).rglob("*.nii.gz")
    path.unlink()
    with a_job(chosen) as (job, left):
        assert [task.name for task in left] == [first.name]
        assert job.manifest.counts() == {Status.DONE: 1, Status.WAITING: 1}
    assert [result.name for result in run(chosen)] == [first.name]
    path.write_bytes(b"short")
    assert [result.name for result in run(chosen)] == [first.name]
    assert is_whole(chosen)
    assert second.status is Status.DONE


@pytest.mark.parametrize("content", [b"", b"{", b'{"name": 1}', b"\xff\xfe", b"x" * (2**24 + 1)])
def test_a_receipt_that_is_none_counts_for_nothing(chosen, content):
    results = run(chosen)
    (chosen.output / "manifest.sqlite").unlink()
    (chosen.output / STUDIES / results[0].name / FILE).write_bytes(content)
    assert [result.name for result in run(chosen)] == [results[0].name]


def test_a_receipt_of_another_study_or_version_counts_for_nothing(chosen):
    results = run(chosen)
    (chosen.output / "manifest.sqlite").unlink()
    folders = [chosen.output / STUDIES / result.name for result in results]
    write_receipt(folders[0], replace(results[0], version="older"))
    write_receipt(folders[1], replace(results[1], name="study-x"))
    assert len(run(chosen)) == 2


def test_leftovers_of_a_killed_run_are_swept(chosen):
    (chosen.output / STUDIES / ".partial-1234-study-a" / "series").mkdir(parents=True)
    (chosen.output / STUDIES / ".partial-1234-study-a" / "series" / "seg.dcm").write_text("half")
    (chosen.output / STUDIES / ".old-1234" / "study-a").mkdir(parents=True)
    (chosen.output / ".partial-1234-studies.csv").write_text("half")
    (chosen.output / "kept.txt").write_text("the user's")
    run(chosen)
    assert {path.name for path in chosen.output.iterdir()} == {
        *("kept.txt", "studies", "manifest.sqlite", ".reserve", ".lock")
    }
    assert is_whole(chosen)


def test_leftovers_of_workers_that_were_ended_are_swept_too(chosen):
    class Ends:
        def run(self, tasks):
            partial_folder = chosen.output / STUDIES / ".partial-1-study"
            partial_folder.mkdir(parents=True)
            task = tasks.next()
            yield StudyResult(task.name, task.version, Status.FAILED, "it took longer than the limit of 1 s")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(chosen, Ends())
    assert files_below(chosen.output / STUDIES) == []
    assert list((chosen.output / STUDIES).iterdir()) == []


def test_leftovers_of_a_study_that_failed_are_swept_while_the_run_goes_on(chosen):
    with a_job(chosen) as (job, left):
        other = f".partial-3-{left[1].name}"
        for name in (f".partial-1-{left[0].name}", f".old-2/{left[0].name}", other):
            (chosen.output / STUDIES / name).mkdir(parents=True)
        results = job.run(Says(), ListedTasks(left))
        assert next(results).name == left[0].name
        assert [path.name for path in (chosen.output / STUDIES).iterdir()] == [other]


def test_what_cannot_be_swept_is_told(chosen, monkeypatch):
    (chosen.output / STUDIES / ".partial-1").mkdir(parents=True)
    (chosen.output / ".partial-2").touch()
    waited = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    monkeypatch.setattr(module.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(OutputError, match="'.partial-1' in the output folder cannot be removed; remove it, and start"):
        run(chosen)
    assert sum(waited) > 2
    assert not (chosen.output / ".partial-2").exists()
    monkeypatch.setattr(Path, "unlink", lambda _: (_ for _ in ()).throw(PermissionError()))
    (chosen.output / ".partial-2").touch()
    with pytest.raises(OutputError, match="'.partial-2' in the output folder cannot be removed"):
        run(chosen)


def changes(tmp_path: Path, chosen: WorkSettings):
    """What may change, and how many studies have to be done again."""
    yield replace(chosen, forms=(ResultForm.NIFTI, ResultForm.NRRD)), 2
    yield replace(chosen, selection=SelectionSection(any_size=True)), 2
    yield replace(chosen, any_size=True), 2
    yield replace(chosen, which="all"), 2
    yield replace(chosen, fill_gaps=True), 2
    yield replace(chosen, prediction=replace(chosen.prediction, overlap=0.25)), 2
    yield replace(chosen, bundle=write_model(tmp_path / "other", name="other")), 2
    yield replace(chosen, prediction=replace(chosen.prediction, batch=7)), 0
    yield replace(chosen, thumbnails=False), 0


def test_what_changes_the_result_makes_it_anew(chosen, tmp_path):
    run(chosen)
    for changed, again in changes(tmp_path, chosen):
        with a_job(changed) as (_, left):
            assert len(left) == again
        assert run(chosen) == []


def test_a_study_that_changes_is_done_again_and_no_other(chosen, tmp_path):
    run(chosen)
    next((tmp_path / "in" / "a").iterdir()).rename(tmp_path / "in" / "moved")
    assert run(chosen) == []
    write_study(tmp_path / "in" / "a" / "more")
    (again,) = run(chosen)
    assert again.status is Status.DONE
    assert is_whole(chosen)


@pytest.mark.parametrize(("retry", "again"), [(True, 2), (False, 0)])
def test_what_failed_is_tried_again_if_wanted(chosen, retry, again):
    assert len(run(chosen, Says())) == 2
    assert len(run(chosen, Says(), retry=retry)) == again
    with read_manifest(chosen.output) as manifest:
        assert {row.attempts for row in manifest.rows()} == {2 if retry else 1}
        assert {row.result.status for row in manifest.rows()} == {Status.FAILED}


def test_what_was_skipped_is_not_tried_again(chosen):
    run(chosen, Says(Status.SKIPPED))
    assert run(chosen, Says(Status.SKIPPED)) == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.SKIPPED])
def test_a_study_that_was_not_done_keeps_no_result_of_an_earlier_version(chosen, status):
    run(chosen)
    changed = replace(chosen, fill_gaps=True)
    results = run(changed, Says(status))
    assert list((chosen.output / STUDIES).iterdir()) == []
    with read_manifest(chosen.output) as manifest:
        assert all(row.result == one for row, one in zip(manifest.rows(), results, strict=True))


@pytest.mark.parametrize("status", [Status.FAILED, Status.SKIPPED])
def test_a_later_round_that_is_not_done_leaves_what_was_done_if_wanted(chosen, status):
    done = {one.name: (one.version, Status.DONE, one.outputs) for one in run(chosen)}
    with a_job(replace(chosen, fill_gaps=True), keeps_done=True) as (job, left):
        assert [one.status for one in job.run(Says(status), ListedTasks(left))] == [status] * 2
        rows = [row.result for row in job.manifest.rows()]
    assert {one.name: (one.version, one.status, one.outputs) for one in rows} == done
    assert is_whole(chosen)


def test_a_study_with_a_damaged_file_beside_it_fails_with_that_reason(chosen, tmp_path):
    (tmp_path / "in" / "a" / "empty").touch()
    results = {result.status: result for result in run(chosen)}
    assert results[Status.FAILED].reason.startswith("1 files that are empty, damaged or may not be read lie beside")
    (tmp_path / "in" / "a" / "empty").unlink()
    assert [result.status for result in run(chosen, retry=False)] == [Status.DONE]
    assert is_whole(chosen)


def test_a_result_is_recorded_before_it_is_told(chosen):
    with a_job(chosen) as (job, left):
        for number, result in enumerate(job.run(Says(), ListedTasks(left)), start=1):
            assert job.manifest.statuses()[result.name] == (result.version, Status.FAILED)
            assert job.manifest.counts()[Status.FAILED] == number
