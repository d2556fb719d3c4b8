"""Models that run in the background."""

from __future__ import annotations

import logging
import re
import threading
import time

import numpy as np
import pytest
from batch_studies import CPU, write_model
from case_factories import ANN, GRID, SENIOR, nifti_case
from factories import bundle, geometry, volume
from localised import section, two_networks

from medseg.batch.work import model_digest
from medseg.config.review import ReviewConfig, Role
from medseg.core.errors import InputError, ReadError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.inference.ensemble import ensemble
from medseg.inference.localiser import NOTHING_FOUND
from medseg.inference.predictor import Predictor
from medseg.inference.restore import Prediction
from medseg.review import infer
from medseg.review.infer import InferenceJobs, InferenceLimits, JobState, JobStatus, shown_models
from medseg.review.open_case import open_case
from medseg.review.records import Reader

OTHER = Reader("other@clinic.example", Role.SENIOR)


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


@pytest.fixture
def case(tmp_path):
    return nifti_case(tmp_path)


@pytest.fixture
def running():
    """Gives jobs for a configuration, and ends them."""
    made: list[InferenceJobs] = []

    def make(*models, **changes) -> InferenceJobs:
        made.append(InferenceJobs(ReviewConfig(models=models), CPU, **changes))
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()


class Gate:
    """Holds up whoever reads or predicts, until it is opened."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.reached.set()
        assert self.opened.wait(20)

    def read(self, files) -> Volume:
        self.hold()
        return open_case(files).volume


class Slow:
    """A predictor of four windows that stops at a gate after the first."""

    gate = Gate()

    def __init__(self, bundle, settings):
        pass

    def predict(self, image, progress):
        progress.start("predict", 4)
        progress.advance()
        progress.note("nothing that matters")
        self.gate.hold()
        progress.advance(3)
        progress.finish()
        return Prediction(LabelMap(np.zeros(image.geometry.shape, np.uint8), image.geometry))


@pytest.fixture
def slow(monkeypatch) -> Gate:
    monkeypatch.setattr(Slow, "gate", Gate())
    monkeypatch.setattr(infer, "Predictor", Slow)
    return Slow.gate


def ended(jobs: InferenceJobs, job, reader=SENIOR) -> JobState:
    """The state of a job once it is over."""
    patience = time.monotonic() + 30
    while not jobs.state(job, reader).status.is_over:
        assert time.monotonic() < patience
        time.sleep(0.005)
    return jobs.state(job, reader)


def test_a_run_gives_what_the_model_says_of_the_image(running, model, case):
    jobs = running(model)
    state = ended(jobs, jobs.start(case, model, SENIOR))
    assert (state.status, state.stage, state.fraction, state.error) == (JobStatus.DONE, "", 1.0, "")
    assert state.case == case.name
    bundle, digest = read_bundle(model), model_digest(model)
    expected = Predictor(bundle, CPU).predict(open_case(case).volume).labels.array
    np.testing.assert_array_equal(state.result.segmentation.labels.array, expected)
    assert state.result.segmentation.geometry.is_close(GRID)
    assert state.result.segmentation.scheme == bundle.scheme
    stamp = state.result.model
    assert (stamp.name, stamp.digest) == ("tiny", digest)
    assert stamp.version.endswith(f"-{digest[:8]}")


def test_an_image_unlike_those_in_training_is_predicted_with_a_note(running, model, case):
    large = Geometry.from_spacing((20, 20, 20), (5.0, 5.0, 5.0))
    for grid, note in ((large, "predicted although it measures 100 x 100 x 100 mm"), (geometry((16, 16, 16)), "")):
        jobs = running(model, read=lambda _, grid=grid: volume(grid))
        assert ended(jobs, jobs.start(case, model, SENIOR)).result.note.startswith(note)


def test_a_localiser_that_finds_nothing_is_noted(running, tmp_path, case):
    path = write_model(tmp_path / "cascade", two_networks(localiser=section(least_ml=1e6)))
    jobs = running(path, read=lambda _: volume(geometry((16, 16, 16))))
    assert NOTHING_FOUND in ended(jobs, jobs.start(case, path, SENIOR)).result.note


def test_members_that_disagree_are_noted(running, tmp_path, case):
    made = ensemble([bundle(), bundle(dims=2)])
    path = write_model(tmp_path / "several", made)
    jobs = running(path, read=lambda _: volume(geometry((16, 16, 16))))
    note = ended(jobs, jobs.start(case, path, SENIOR)).result.note
    assert re.fullmatch(
        r"(predicted although [^;]*; )?((one|two): members agree by a Dice of 0\.\d\d only(; )?)+", note
    )


def test_it_says_how_far_it_is_and_the_others_wait_in_line(running, model, case, slow):
    jobs = running(model)
    first = jobs.start(case, model, SENIOR)
    second, third = jobs.start(case, model, OTHER), jobs.start(case, model, SENIOR)
    assert slow.reached.wait(20)
    state = jobs.state(first, SENIOR)
    assert (state.status, state.stage, state.fraction, state.ahead) == (JobStatus.RUNNING, "predicting", 0.25, 0)
    waiting = [jobs.state(second, OTHER), jobs.state(third, SENIOR)]
    assert [(one.status, one.ahead, one.fraction) for one in waiting] == [
        (JobStatus.WAITING, 1, 0.0),
        (JobStatus.WAITING, 2, 0.0),
    ]
    slow.opened.set()
    assert ended(jobs, third).status is JobStatus.DONE


def test_a_run_is_cancelled_while_it_predicts_and_the_next_goes_on(running, model, case, slow):
    jobs = running(model)
    first, second = jobs.start(case, model, SENIOR), jobs.start(case, model, SENIOR)
    assert slow.reached.wait(20)
    jobs.cancel(first, SENIOR)
    slow.opened.set()
    state = ended(jobs, first)
    assert (state.status, state.result, state.error) == (JobStatus.CANCELLED, None, "")
    assert ended(jobs, second).status is JobStatus.DONE
    jobs.cancel(second, SENIOR)
    assert jobs.state(second, SENIOR).status is JobStatus.DONE


def test_a_run_is_cancelled_while_it_waits_or_reads(running, model, case):
    gate = Gate()
    jobs = running(model, read=gate.read)
    first, second = jobs.start(case, model, SENIOR), jobs.start(case, model, SENIOR)
    assert gate.reached.wait(20)
    assert jobs.state(first, SENIOR).stage == "reading the image"
    jobs.cancel(second, SENIOR)
    assert jobs.state(second, SENIOR).status is JobStatus.CANCELLED
    jobs.cancel(first, SENIOR)
    gate.opened.set()
    assert ended(jobs, first).status is JobStatus.CANCELLED


def test_who_may_not_run_models_and_models_that_nobody_named_are_refused(running, model, case, tmp_path):
    jobs = running(model)
    with pytest.raises(InputError, match="a reader may not run models; ask a senior"):
        jobs.start(case, model, ANN)
    with pytest.raises(InputError, match="the configuration names no such model"):
        jobs.start(case, tmp_path, SENIOR)


def test_a_run_is_its_readers_own(running, model, case):
    jobs = running(model)
    job = jobs.start(case, model, SENIOR)
    for what in (jobs.state, jobs.cancel, jobs.forget):
        with pytest.raises(InputError, match="is not known, or not any more"):
            what(job, OTHER)
    assert ended(jobs, job).status is JobStatus.DONE


def test_only_so_many_wait(running, model, case):
    gate = Gate()
    jobs = running(model, limits=InferenceLimits(waiting=2), read=gate.read)
    jobs.start(case, model, SENIOR)
    assert gate.reached.wait(20)
    jobs.start(case, model, SENIOR)
    last = jobs.start(case, model, SENIOR)
    with pytest.raises(InputError, match="2 runs of models wait already"):
        jobs.start(case, model, SENIOR)
    gate.opened.set()
    ended(jobs, last)
    assert ended(jobs, jobs.start(case, model, SENIOR)).status is JobStatus.DONE


def test_results_are_dropped_after_a_while_and_when_there_are_many(running, model, case):
    now = [0.0]
    jobs = running(model, limits=InferenceLimits(results=2, keep_s=60), clock=lambda: now[0])
    first, second, third = (jobs.start(case, model, SENIOR) for _ in range(3))
    ended(jobs, third)
    with pytest.raises(InputError, match="not any more"):
        jobs.state(first, SENIOR)
    jobs.forget(second, SENIOR)
    with pytest.raises(InputError, match="not any more"):
        jobs.state(second, SENIOR)
    now[0] = 59.0
    assert jobs.state(third, SENIOR).result is not None
    now[0] = 61.0
    with pytest.raises(InputError, match="not any more"):
        jobs.state(third, SENIOR)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ReadError("'/home/MARKER/a.nii': damaged"), "<path>: damaged"),
        (MemoryError("MARKER"), "not enough memory for this image; predict it on another machine"),
        (KeyError("MARKER"), "unexpected KeyError; `medseg predict` on the same image shows the details"),
    ],
)
def test_what_goes_wrong_is_one_sentence_that_names_nobody(running, model, case, caplog, error, words):
    def fail(_):
        raise error

    caplog.set_level(logging.DEBUG)
    jobs = running(model, read=fail)
    state = ended(jobs, jobs.start(case, model, SENIOR))
    assert (state.status, state.error, state.result) == (JobStatus.FAILED, words, None)
    assert "MARKER" not in caplog.text


def test_a_model_is_read_once_as_long_as_it_is_the_last_and_unchanged(running, tmp_path, case, monkeypatch):
    one, other = write_model(tmp_path / "one"), write_model(tmp_path / "other", name="other")
    read = []
    monkeypatch.setattr(infer, "read_bundle", lambda path: read.append(path.name) or read_bundle(path))
    jobs = running(one, other)
    for model in (one, one, other, one):
        assert ended(jobs, jobs.start(case, model, SENIOR)).status is JobStatus.DONE
    assert read == ["one", "other", "one"]
    write_model(one, name="newer")
    assert ended(jobs, jobs.start(case, one, SENIOR)).result.model.name == "newer"


def test_a_damaged_model_fails_the_run_and_the_next_is_done(running, tmp_path, case, model):
    damaged = write_model(tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"damaged")
    jobs = running(model, damaged)
    state = ended(jobs, jobs.start(case, damaged, SENIOR))
    assert (state.status, state.error) == (JobStatus.FAILED, "bundle <path>: model.safetensors is damaged")
    assert ended(jobs, jobs.start(case, model, SENIOR)).status is JobStatus.DONE


def test_models_are_shown_by_name(tmp_path):
    paths = [write_model(tmp_path / str(number), name=name) for number, name in enumerate(("a", "b", "a", "a"))]
    assert shown_models([*paths, tmp_path / "missing"]) == dict(zip(("a", "b", "a (2)", "a (3)"), paths, strict=True))
