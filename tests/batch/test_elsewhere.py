"""A machine that does not see what it should does nothing."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from batch_studies import settings, task_of, write_model, write_study
from factories import bundle

from medseg.batch import elsewhere
from medseg.batch.elsewhere import Elsewhere
from medseg.batch.manifest import FILE
from medseg.batch.records import Status
from medseg.batch.work import StudyWorker, open_model
from medseg.core.errors import BundleError, InputError
from medseg.core.pseudonyms import load_key


def opener(folder: Path, **changes: object) -> Elsewhere:
    """As it arrives in another process."""
    work = settings(folder, **changes)
    (work.output / FILE).touch()
    return pickle.loads(pickle.dumps(Elsewhere.of(work, open_model(work))))  # noqa: S301 - what was just written


def test_a_machine_that_sees_all_does_the_same(tmp_path):
    write_model(tmp_path / "model", bundle(channels=[{"name": "CT"}]))
    worker = opener(tmp_path)(3)
    assert isinstance(worker, StudyWorker)
    assert worker.process(task_of(write_study(tmp_path / "in")), lambda _: None).status is Status.DONE


def test_the_key_is_that_of_who_calls(tmp_path, monkeypatch):
    home = tmp_path / "home.key"
    load_key(home)
    monkeypatch.setattr(elsewhere, "default_key_path", lambda: home)
    monkeypatch.setattr("medseg.core.pseudonyms.default_key_path", lambda: home)
    assert opener(tmp_path, key=None).settings.key == home
    monkeypatch.setattr("medseg.core.pseudonyms.default_key_path", lambda: tmp_path / "another")
    assert isinstance(opener(tmp_path)(0), StudyWorker)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("out/manifest.sqlite", "does not see the output folder"), ("project.key", "does not see the project key")],
)
def test_what_is_not_there_is_told_and_not_made(tmp_path, missing, sentence):
    there = opener(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=f"a node {sentence}; every node has to see"):
        there(0)
    assert not (tmp_path / missing).exists()


def test_another_key_or_model_is_refused(tmp_path):
    there = opener(tmp_path)
    load_key(tmp_path / "other.key")
    with pytest.raises(InputError, match="a node sees another project key"):
        replace(there, settings=replace(there.settings, key=tmp_path / "other.key"))(0)
    write_model(tmp_path / "other", name="other")
    with pytest.raises(InputError, match="a node sees another model"):
        replace(there, settings=replace(there.settings, bundle=tmp_path / "other"))(0)
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises((BundleError, InputError), match="lacks model.safetensors"):
        there(0)
