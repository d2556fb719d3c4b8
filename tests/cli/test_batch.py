"""The command `medseg batch` as a shell would run it."""

from __future__ import annotations

import json
import re
import signal
import threading
from dataclasses import replace

import pytest
from batch_studies import FITS, STUDY_UID, Here, files_below, write_key, write_model, write_study
from command_line import fails
from dicom_factories import MARKER
from factories import bundle, geometry, volume

from medseg.batch import session
from medseg.batch.records import Status
from medseg.cli import batch as command
from medseg.cli.batch import stop_on_signals
from medseg.io.formats import write_volume
from medseg.pipelines import batch as pipeline


@pytest.fixture
def batch(medseg, monkeypatch, tmp_path):
    """Runs the command on a model for CT, in this process."""
    monkeypatch.setattr(session, "LocalEngine", Here)
    write_model(tmp_path / "model", bundle(channels=[{"name": "CT"}]))
    write_key(tmp_path / "project.key")
    return lambda *arguments: medseg("batch", "model", *arguments, "--key", "project.key", "--device", "cpu")


@pytest.fixture
def studies(tmp_path):
    write_study(tmp_path / "in" / MARKER)
    write_study(tmp_path / "in" / "b", StudyInstanceUID="1.2.3.4", Modality="MR")
    return tmp_path / "in"


def test_every_option_states_its_default(medseg):
    done = medseg("batch", "--help")
    options = re.split(r"\n  (?=-)", done.out.partition("Options:")[2])
    assert len(options) > 20
    assert all("default:" in " ".join(option.split()) for option in options[1:-1])


def test_a_folder_of_studies_becomes_results_and_a_summary(batch, studies, tmp_path):
    done = batch("in", "-o", "out", "--report")
    assert done.code == 0, done.err
    assert re.search(r"done +1\n *skipped +1", done.out)
    assert re.search(r"2 studies in \d+ s, \d+\.\d s each", done.out)
    assert "results: out/studies, table: out/studies.csv" in done.out
    assert "report: out/report.html" in done.out
    assert "skipped, its modality is MR, the rule wants CT" in done.err
    assert {path.rpartition("/")[2] for path in files_below(tmp_path / "out")} >= {"seg.dcm", "report.dcm"}
    assert MARKER not in done.out + done.err
    assert STUDY_UID not in done.out + done.err
    again = batch("in", "-o", "out", "--json")
    assert again.code == 0
    assert {row["status"]: row["studies"] for row in json.loads(again.out)} == {
        "waiting": 0, "done": 1, "skipped": 1, "failed": 0
    }  # fmt: skip
    assert "nothing was left to do" in again.err


def test_a_study_that_failed_is_exit_code_one(batch, studies):
    (studies / "b" / "empty").touch()
    done = batch("in", "-o", "out", "--write", "nifti", "--write", "nrrd")
    assert done.code == 1
    assert re.search(r"failed +1", done.out)
    assert "failed, 1 files that are empty, damaged or may not be read lie beside its files" in done.err
    assert batch("in", "-o", "out", "--write", "nifti", "--write", "nrrd", "--no-retry").code == 1


def test_a_dry_run_needs_no_folder_for_results_and_makes_none(batch, studies, tmp_path):
    before = files_below(tmp_path)
    done = batch("in", "--dry-run")
    assert done.code == 0, done.err
    assert "rules" in done.out
    assert "its modality is MR, the rule wants CT" in done.out
    assert files_below(tmp_path) == before
    done = batch("in", "--dry-run", "--json")
    assert {row["taken as"] for row in json.loads(done.out)} == {"CT", ""}


def test_rules_size_and_series_are_choices(batch, studies, tmp_path):
    (tmp_path / "rules.yaml").write_text("channels: {CT: {modality: MR}}\n")
    done = batch("in", "--dry-run", "--json", "--rules", "rules.yaml")
    assert {row["modality"]: row["taken as"] for row in json.loads(done.out)} == {"CT": "", "MR": "CT"}
    write_study(tmp_path / "in" / "c", grid=replace(FITS, columns=80), StudyInstanceUID="1.2.3.5")
    done = batch("in", "--dry-run", "--json", "--any-size")
    assert [row["taken as"] for row in json.loads(done.out)].count("CT") == 2
    write_study(tmp_path / "in" / "d")
    done = batch("in", "--dry-run", "--json", "--series", "all")
    assert [row["taken as"] for row in json.loads(done.out)].count("CT") == 2


WRONG = {
    "no folder for results": (("in",), "name the folder for the results by -o; --dry-run shows"),
    "two jobs": (("in", "-o", "out", "--dry-run", "--watch"), "are two different jobs; give one of them"),
    "a server to look at": (("http://x", "--from", "dicomweb", "--dry-run"), "goes with neither --dry-run nor --watch"),
    "a query that is none": (
        ("http://x", "-o", "out", "--from", "dicomweb", "--query", "CT"),
        "--query 'CT' is not of the form KEYWORD=VALUE",
    ),
    "a missing folder": (("nowhere", "-o", "out"), "'nowhere' does not exist"),
    "no study": (("nifti", "-o", "out"), "'nifti' holds no DICOM study; for NIfTI, NRRD and pictures use `medseg pred"),
    "no time": (("in", "-o", "out", "--time-limit", "soon"), "'soon' is no span of time"),
    "no rest": (("in", "-o", "out", "--watch", "--quiet", "0s"), "'0s' is no span of time"),
    "rules that are none": (
        ("in", "-o", "out", "--rules", "wrong.yaml"),
        "wrong.yaml: channels.CT.plane: Input should",
    ),
    "rules that are not there": (("in", "-o", "out", "--rules", "no.yaml"), "rules 'no.yaml' cannot be read"),
    "results among studies": (("in", "-o", "in/out"), "results would come to lie among the studies"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_request_is_one_sentence_and_writes_nothing(batch, studies, tmp_path, what):
    arguments, sentence = WRONG[what]
    write_volume(tmp_path / "nifti" / "scan.nii.gz", volume(geometry()))
    (tmp_path / "wrong.yaml").write_text("channels: {CT: {plane: diagonal}}\n")
    fails(batch(*arguments), sentence)
    assert not [path for path in files_below(tmp_path) if "/studies/" in path]


def test_a_folder_that_is_no_model_is_refused(medseg, studies):
    fails(medseg("batch", "in", "in", "-o", "out"), "is no bundle")


def test_studies_of_a_server_are_asked_for_by_what_they_match(batch, monkeypatch):
    asked = []

    def fetched(*arguments):
        asked.append(arguments)
        return session.BatchRun({Status.FAILED: 1}, 1, 2.0)

    monkeypatch.setattr(pipeline, "predict_web_studies", fetched)
    query = ("--query", "StudyDate=20260101-", "--query", "ModalitiesInStudy=CT")
    done = batch("http://127.0.0.1:1/dicom-web", "-o", "out", "--from", "dicomweb", *query)
    assert done.code == 1
    assert "1 studies in 2 s, 2.0 s each" in done.out
    assert asked[0][2] == {"StudyDate": "20260101-", "ModalitiesInStudy": "CT"}


def test_watching_ends_with_a_summary(batch, studies, monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(command, "stop_on_signals", lambda: stop)
    watched = pipeline.watch_studies

    def watch(*arguments):
        threading.Timer(1.5, stop.set).start()
        return watched(*arguments)

    monkeypatch.setattr(pipeline, "watch_studies", watch)
    done = batch("in", "-o", "out", "--watch", "--quiet", "0.2s", "--write", "nifti")
    assert done.code == 0, done.err
    assert "a study is taken when its files have rested for 0.2 s; Ctrl-C ends it" in done.err
    assert re.search(r"done +1\n *skipped +1", done.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_ask_for_an_end(number):
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop = stop_on_signals()
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.is_set()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@pytest.mark.parametrize(
    ("option", "needed"),
    [
        (("--query", "Modality=CT"), "--query says nothing without --from dicomweb"),
        (("--token", "t"), "--token says nothing without --from dicomweb"),
        (("--ca", "c"), "--ca says nothing without --from dicomweb"),
        (("--cluster", "auto"), "--cluster says nothing without --engine ray"),
    ],
)
def test_options_that_would_say_nothing_are_refused(batch, studies, option, needed):
    fails(batch(studies, "-o", "out", *option), needed)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("http://pacs.invalid/dicom-web", "--query", "Modality"), "not of the form KEYWORD=VALUE"),
        (("somewhere",), "begins with https:// or http://"),
        (("https://user:secret@pacs.invalid", "--dry-run"), "goes with neither --dry-run nor --watch"),
        (("https://user:secret@pacs.invalid",), "holds no user, password"),
    ],
)
def test_wrong_servers_are_one_sentence(batch, arguments, sentence):
    done = batch(*arguments, "--from", "dicomweb", "-o", "out")
    fails(done, sentence)
    assert "secret" not in done.err
