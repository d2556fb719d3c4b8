"""Whole folders of studies, from the first run to one that finds nothing left to do."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from batch_studies import CPU, FITS, KEY, STUDY_UID, Bands, Here, files_below, write_key, write_model, write_study
from dicom_factories import MARKER
from factories import bundle

from medseg.batch import session
from medseg.batch.discover import study_name
from medseg.batch.engine import Limits, LocalEngine
from medseg.batch.manifest import read_manifest
from medseg.batch.outputs import ResultForm
from medseg.batch.ray import RayEngine
from medseg.batch.records import Status
from medseg.batch.session import REPORT, TABLE, BatchOptions, BatchRun, EngineName
from medseg.batch.work import STUDIES
from medseg.core.errors import BundleError, ConfigError, InputError
from medseg.inference.expected import StructureFacts
from medseg.pipelines.batch import foresee, predict_studies, rule_rows, watch_studies

OTHER, THIRD = "1.2.826.0.1.3680043.8.498.77", "1.2.826.0.1.3680043.8.498.78"
NAME, OTHER_NAME = study_name(KEY, STUDY_UID), study_name(KEY, OTHER)
SOON_S = 20.0


class Notes:
    """Remembers what a run tells."""

    def __init__(self):
        self.texts, self.steps, self.stages = [], 0, []

    def start(self, label, total):
        self.stages.append((label, total))

    def advance(self, steps=1):
        self.steps += steps

    def note(self, text):
        self.texts.append(text)

    def finish(self):
        self.stages.append("finish")


@pytest.fixture
def engines(monkeypatch) -> list[Here]:
    """The engines of this test, which work in this process."""
    made = []

    def here(open_worker, limits):
        made.append(Here(open_worker))
        return made[-1]

    monkeypatch.setattr(session, "LocalEngine", here)
    return made


@pytest.fixture
def options(tmp_path) -> BatchOptions:
    return BatchOptions(forms=(ResultForm.NIFTI,), prediction=CPU, key=write_key(tmp_path / "project.key"))


@pytest.fixture
def places(tmp_path) -> tuple[Path, Path, Path]:
    """A model, a folder of two studies that fit it and one that does not, and where results go."""
    write_study(tmp_path / "in" / "a" / MARKER)
    write_study(tmp_path / "in" / "b", StudyInstanceUID=OTHER)
    write_study(tmp_path / "in" / "c", grid=replace(FITS, columns=80), StudyInstanceUID=THIRD)
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    return write_model(tmp_path / "model", bundle(channels=[{"name": "CT"}])), tmp_path / "in", tmp_path / "out"


def rows(output: Path) -> dict[str, object]:
    with read_manifest(output) as manifest:
        return {row.result.name: row.result for row in manifest.rows()}


def table(output: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((output / TABLE).read_text().splitlines()))


def test_every_study_gets_a_row_and_those_that_fit_results(places, options, engines):
    notes = Notes()
    run = predict_studies(*places, options, notes)
    assert run.counts == {Status.DONE: 2, Status.SKIPPED: 1}
    assert (run.ended, run.others, run.unreadable, run.has_failures) == (3, 1, 0, False)
    assert [row["studies"] for row in run.rows()] == [0, 2, 1, 0]
    assert set(files_below(places[2])) >= {"manifest.sqlite", TABLE, f"{STUDIES}/{NAME}/result.json"}
    assert not (places[2] / REPORT).exists()
    assert {row["study"]: row["status"] for row in table(places[2])}[NAME] == "done"
    assert notes.stages == [("finding studies", 31), ("studies", 3), "finish"]
    assert notes.steps == 31 + 3
    (skipped,) = notes.texts
    assert re.match(r"study-[0-9a-f]+: skipped, it measures 80 x 15 x 15 mm", skipped)
    for result in rows(places[2]).values():
        for one in result.outputs:
            content = (places[2] / STUDIES / result.name / one.name).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (one.sha256, one.size)


def test_a_second_run_does_nothing_and_still_writes_the_report(places, options, engines):
    predict_studies(*places, options)
    before = {path: path.stat().st_mtime_ns for path in (places[2] / STUDIES).rglob("*")}
    run = predict_studies(*places, replace(options, report=True))
    assert (run.ended, run.counts) == (0, {Status.DONE: 2, Status.SKIPPED: 1})
    assert engines[1].did == []
    assert {path: path.stat().st_mtime_ns for path in (places[2] / STUDIES).rglob("*")} == before
    assert "3 studies: 2 done, 1 skipped" in (places[2] / REPORT).read_text()


def test_what_arrives_later_is_done_and_what_goes_stays_known(places, options, engines):
    predict_studies(*places, options)
    shutil.rmtree(places[1] / "b")
    write_study(places[1] / "d", StudyInstanceUID="1.2.3.4")
    run = predict_studies(*places, options)
    assert (run.ended, run.counts[Status.DONE]) == (1, 3)
    assert engines[1].did == [study_name(KEY, "1.2.3.4")]


def test_dicom_results_name_the_patient_and_nothing_else_does(places, options, engines):
    chosen = replace(options, forms=(ResultForm.SEG, ResultForm.REPORT, ResultForm.NIFTI), report=True)
    predict_studies(*places, chosen)
    (path,) = (places[2] / STUDIES / NAME).rglob("seg.dcm")
    header = pydicom.dcmread(path, stop_before_pixels=True)
    assert header.PatientName == f"{MARKER}^Name"
    assert header.StudyInstanceUID == STUDY_UID
    for path in places[2].rglob("*"):
        assert MARKER not in str(path.relative_to(places[2]))
        if path.is_file() and path.suffix != ".dcm":
            assert MARKER.encode() not in path.read_bytes(), path.name
            assert STUDY_UID.encode() not in path.read_bytes(), path.name


def test_damaged_files_are_told_and_fail_their_study(places, options, engines):
    (places[1] / "b" / "empty").touch()
    notes = Notes()
    run = predict_studies(*places, options, notes)
    assert run.has_failures
    assert run.unreadable == 1
    assert notes.texts[0].startswith("1 files or folders are empty, damaged or may not be read; studies with such")
    assert rows(places[2])[OTHER_NAME].status is Status.FAILED
    (places[1] / "b" / "empty").unlink()
    assert not predict_studies(*places, options).has_failures


def test_what_failed_is_left_alone_if_wanted(places, options, engines):
    (places[1] / "b" / "empty").touch()
    predict_studies(*places, options)
    predict_studies(*places, replace(options, retry=False))
    assert engines[1].did == []
    predict_studies(*places, options)
    assert engines[2].did == [OTHER_NAME]


def test_what_is_unlike_training_is_told(places, options, engines):
    usual = StructureFacts(
        cases=9, share=1.0, smallest_ml=900, largest_ml=2100, mean_ml=1500, deviation_ml=30, most_components=1,
        border_share=0.0,
    )  # fmt: skip
    model = bundle(Bands(), channels=[{"name": "CT"}])
    facts = model.facts.model_copy(update={"structures": {"one": usual, "two": usual}})
    # The weights of another network: only what the parent reads of the bundle matters to what is told.
    write_model(places[0], replace(bundle(channels=[{"name": "CT"}]), facts=facts))
    notes = Notes()
    predict_studies(*places, replace(options, report=True), notes)
    told = [text for text in notes.texts if "look at" in text]
    assert len(told) == 2
    assert "mL, 900 to 2100 in training" in told[0] or "missing" in told[0]
    assert "2 studies to look at" in (places[2] / REPORT).read_text()


def test_a_dry_run_shows_all_series_and_writes_nothing(places, options, tmp_path):
    (places[1] / "b" / "empty").touch()
    cut = write_study(places[1] / "e", StudyInstanceUID="1.2.3.5")[0]
    cut.write_bytes(cut.read_bytes().partition(b"\x20\x00\x0e\x00")[0] + b"\x20\x00\x0e\x00UI\x08\x00")
    before = files_below(tmp_path)
    notes = Notes()
    found = {row["study"]: row for row in foresee(*places[:2], options, notes)}
    assert files_below(tmp_path) == before
    assert not places[2].exists()
    assert found[NAME] | {"series": ""} == {
        "study": NAME, "series": "", "modality": "CT", "size": "14 x 12 x 10", "spacing mm": "1 x 1.25 x 1.5",
        "taken as": "CT", "why not": "",
    }  # fmt: skip
    assert found[study_name(KEY, THIRD)]["why not"].startswith("it measures 80")
    assert found[OTHER_NAME]["taken as"] == ""
    assert found[OTHER_NAME]["why not"].startswith("1 files that are empty")
    assert found[study_name(KEY, "1.2.3.5")]["why not"] == "1 of its files are damaged, so slices may be missing"
    assert notes.steps == 41 + 4


def test_rules_of_a_file_take_the_place_of_the_models(places, options, engines, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("channels: {CT: {words: [thick]}}\n")
    chosen = replace(options, rules=rules)
    assert rule_rows(places[0], chosen)[0]["words"] == "thick"
    run = predict_studies(*places, chosen)
    assert run.counts == {Status.SKIPPED: 3}
    assert {row["reason"] for row in table(places[2])} == {"its description lacks 'thick'"}
    rules.write_text("channels: {MR: {words: [thick]}}\n")
    with pytest.raises(ConfigError, match="name the channel 'MR', the model has CT"):
        predict_studies(*places, chosen)


def test_wrong_places_are_refused_before_anything_is_written(places, options, tmp_path):
    model, folder, output = places
    with pytest.raises(InputError, match="results would come to lie among the studies"):
        predict_studies(model, folder, folder / "out", options)
    with pytest.raises(InputError, match="results would come to lie among the studies"):
        predict_studies(model, folder, folder, options)
    (tmp_path / "studies").symlink_to(folder)
    with pytest.raises(InputError, match="results would come to lie among the studies"):
        predict_studies(model, tmp_path / "studies", folder / "out", options)
    (output / STUDIES / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="results would come to lie among the studies"):
        watch_studies(model, output / STUDIES / "mine", output, options, 1.0, threading.Event())
    with pytest.raises(InputError, match="does not exist"):
        predict_studies(model, tmp_path / "nowhere", output, options)
    with pytest.raises(InputError, match="does not exist"):
        foresee(model, tmp_path / "nowhere", options)
    with pytest.raises(BundleError, match="is no bundle"):
        predict_studies(tmp_path / "nowhere", folder, output, options)
    assert files_below(output) == []
    assert not (folder / "out").exists()


def test_the_key_may_not_lie_among_the_results_nor_be_made_there(places, options):
    with pytest.raises(InputError, match="the project key may not lie in the output folder"):
        predict_studies(*places, replace(options, key=places[2] / "project.key"))
    assert not places[2].exists()


def test_where_no_study_is_the_user_is_told(places, options, engines, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no DICOM study; for NIfTI, NRRD and pictures use `medseg predict`"):
        predict_studies(places[0], tmp_path / "empty", places[2], options)
    (tmp_path / "empty" / "file").touch()
    with pytest.raises(InputError, match=r"no DICOM study \(1 files are empty, damaged or may not be read\)"):
        foresee(places[0], tmp_path / "empty", options)


def test_another_model_or_key_needs_another_folder(places, options, engines, tmp_path):
    predict_studies(*places, options)
    other = write_model(tmp_path / "other", name="other")
    for model, chosen in ((other, options), (places[0], replace(options, key=tmp_path / "another.key"))):
        with pytest.raises(InputError, match="results of another model, or names by another key; name another folder"):
            predict_studies(model, *places[1:], chosen)


def test_the_engine_is_the_one_that_was_asked_for(places, options):
    with session.open_session(places[0], places[2], options, Notes()) as opened:
        assert isinstance(opened.engine, LocalEngine)
        assert opened.engine._limits == Limits(1, 3, 1800.0)
    chosen = replace(options, engine=EngineName.RAY, cluster="auto", limits=Limits(0, seconds=5.0))
    with session.open_session(places[0], places[2], chosen, Notes()) as opened:
        assert isinstance(opened.engine, RayEngine)
    assert session.worker_count("cpu") == 1
    assert session.worker_count("auto") >= 1
    assert BatchRun({Status.FAILED: 1}, 1, 1.0).has_failures


def wait_for(condition) -> None:
    ends = time.monotonic() + SOON_S
    while not condition() and time.monotonic() < ends:
        time.sleep(0.02)
    assert condition()


def test_a_watched_folder_is_worked_at_until_somebody_stops_it(places, options, engines):
    stop, notes, ended = threading.Event(), Notes(), []
    arguments = (*places, options, 0.3, stop, notes)
    thread = threading.Thread(target=lambda: ended.append(watch_studies(*arguments)))
    thread.start()
    try:
        wait_for(lambda: notes.steps == 3)
        assert "a study is taken when its files have rested for 0.3 s" in notes.texts[0]
        write_study(places[1] / "later", StudyInstanceUID="1.2.3.4")
        wait_for(lambda: notes.steps == 4)
        (places[1] / "later" / "empty").touch()
        wait_for(lambda: notes.steps == 5)
    finally:
        stop.set()
        thread.join()
    (run,) = ended
    assert (run.ended, run.counts) == (5, {Status.DONE: 2, Status.SKIPPED: 1, Status.FAILED: 1})
    assert engines[0].did[-2:] == [study_name(KEY, "1.2.3.4")] * 2
    assert not (places[2] / STUDIES / study_name(KEY, "1.2.3.4")).exists()


def test_the_real_engine_does_the_same_as_the_one_of_the_tests(places, options, monkeypatch, tmp_path):
    run = predict_studies(*places, options)
    assert run.counts == {Status.DONE: 2, Status.SKIPPED: 1}
    assert predict_studies(*places, options).ended == 0
    monkeypatch.setattr(session, "LocalEngine", Here)
    predict_studies(*places[:2], tmp_path / "here", options)
    assert [one.outputs for one in rows(places[2]).values()] == [
        one.outputs for one in rows(tmp_path / "here").values()
    ]


def test_a_run_that_is_interrupted_leaves_no_half_results(places, options):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as at the start of a program
    for number in range(12):
        write_study(places[1] / f"more-{number}", StudyInstanceUID=f"1.2.3.{number}")

    class Interrupts(Notes):
        def advance(self, steps=1):
            super().advance(steps)
            if self.stages[-1][0] == "studies":
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        predict_studies(*places, options, Interrupts())
    done = [result for result in rows(places[2]).values() if result.status is Status.DONE]
    left = {path.name for path in (places[2] / STUDIES).iterdir()}
    assert not [name for name in left if name.startswith(".")]
    assert len(left) < 14
    assert {result.name for result in done} <= left
