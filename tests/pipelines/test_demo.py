"""The main job end to end on a tiny cohort: it ends with scores, and no identifier of a header leaves the studies."""

from __future__ import annotations

import gzip
import logging
from functools import partial
from pathlib import Path

import pytest

from medseg.core.errors import InputError
from medseg.inference.settings import PredictionSettings
from medseg.io.studies import find_series
from medseg.phantom.studies import Protocol, planted_identifiers, write_cohort
from medseg.pipelines import demo as module
from medseg.pipelines.demo import DemoResult, demo
from medseg.pipelines.inspect import inspect
from medseg.pipelines.predict import PredictOptions, predict


class Notes:
    """Progress that remembers every text."""

    def __init__(self):
        self.texts = []

    def start(self, label, total):
        self.texts.append(label)

    def advance(self, steps=1):
        pass

    def note(self, text):
        self.texts.append(text)

    def finish(self):
        pass


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Studies of a few voxels."""
    protocol = Protocol(matrix=24, slice_mm=(20.0, 20.0))
    monkeypatch.setattr(module, "write_cohort", partial(write_cohort, protocol=protocol))


def run(folder: Path, notes: Notes) -> DemoResult:
    return demo(folder, budget="1s", cases=3, progress=notes)


def contents(folder: Path) -> str:
    """All that the files of a folder say, compressed or not, and what they and their folders are called."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    read = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files]
    return "\n".join([*(str(path.relative_to(folder)) for path in files), *(one.decode("latin-1") for one in read)])


def test_nothing_that_identifies_leaves_the_headers(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    notes = Notes()
    result = run(tmp_path / "demo", notes)
    assert len(result.evaluation.cases) == 1
    options = PredictOptions(PredictionSettings(device="cpu"), preview=True, key=tmp_path / "project.key")
    done = predict(result.bundle, [result.studies / "studies"], tmp_path / "demo" / "by folder", options, notes)
    assert done.done >= 3
    told = [repr(inspect(result.studies / "studies").rows()), repr(inspect(result.studies).rows()), repr(done)]
    shown = "\n".join([*notes.texts, *told, caplog.text, *capfd.readouterr()])
    planted = planted_identifiers(result.studies)
    assert any(series.uid in planted for series in find_series(result.studies).series)
    result.studies.rename(tmp_path / "studies")  # what is left was made from them
    written = contents(tmp_path / "demo")
    assert "torso-001" in written
    assert [value for value in planted if value in written or value in shown] == []


def test_a_second_demo_takes_the_place_of_the_first(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / ".medseg-demo").touch()
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").touch()
    card = run(folder, Notes()).bundle / "card.md"
    assert "scored by medseg evaluate" in card.read_text()


@pytest.mark.parametrize("name", ["run", "studies", "predictions"])
def test_a_folder_of_somebody_elses_work_is_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").touch()
    with pytest.raises(InputError, match="holds files that no demo wrote; name a new or an empty folder"):
        run(tmp_path, Notes())
    assert [path.name for path in tmp_path.rglob("*")] == [name, "mine.txt"]
