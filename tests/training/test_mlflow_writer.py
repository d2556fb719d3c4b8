"""Runs in a real MLflow store on disk."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from factories import run_config

from medseg.core.errors import InputError, OutputError
from medseg.training import mlflow_writer
from medseg.training.assemble import new_trackers, track_card
from medseg.training.callbacks import EpochReport, RunReport, TensorBoardWriter, ValidationReport
from medseg.training.mlflow_writer import MlflowPlace, MlflowWriter
from medseg.training.stopwatch import NOTHING_SPENT

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and TensorBoard's own imports warn
needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs the extra mlflow")
GOOD = ValidationReport(5, {"liver (left)": 0.9, "cyst": math.nan}, 0.9, lambda: np.full((4, 6, 3), 7, np.uint8))
END = RunReport(6, 300, NOTHING_SPENT, "")
TRAINING = {"budget": {"minutes": 5}, "tracking": "mlflow"}
CONFIG = run_config(data={"folder": "/Quarkington/Zebedeeson"}, training=TRAINING)


def epoch(step):
    return EpochReport(epoch=step // 50, step=step, loss=1 / step, lr=0.001, left_s=600)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> Path:
    """A data base without a run; MLflow takes seconds to make one."""
    folder = tmp_path_factory.mktemp("empty")
    mlflow_writer._client(MlflowPlace(folder, folder))
    return folder / "mlflow.db"


@pytest.fixture
def place(tmp_path, empty_store) -> MlflowPlace:
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_store, tmp_path / "mlflow")
    return MlflowPlace(tmp_path, tmp_path / "mlflow")


def client_of(place):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{place.store / 'mlflow.db'}")


def runs(place):
    client = client_of(place)
    return client.search_runs([client.get_experiment_by_name("medseg").experiment_id])


@needs_mlflow
def test_a_run_is_kept_and_goes_on_where_it_stopped(place, tmp_path):
    first = MlflowWriter(place, CONFIG)
    first.on_epoch(epoch(50))
    first.on_validation(GOOD)
    longer = CONFIG.model_copy(update={"training": CONFIG.training.model_copy(update={"seed": 3})})
    second = MlflowWriter(place, longer)
    second.on_epoch(epoch(100))
    (run,) = runs(place)
    assert run.info.status == "RUNNING"
    second.on_end(END)
    (run,) = runs(place)
    assert run.info.status == "FINISHED"
    assert run.data.params["network.features"] == "[4, 8]"
    assert run.data.params["training.seed"] == "0"  # as it began
    assert run.data.metrics["dice/liver _left_"] == 0.9
    assert "dice/cyst" not in run.data.metrics
    losses = client_of(place).get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in losses] == [(50, 0.02), (100, 0.01)]
    (tmp_path / "bundle").mkdir()
    for name in ("card.md", "card.html"):
        (tmp_path / "bundle" / name).write_text(f"my {name}")
    track_card(CONFIG, tmp_path, place.store, tmp_path / "bundle")
    files = {file.path for file in client_of(place).list_artifacts(run.info.run_id)}
    assert files == {"overlay", "card.md", "card.html"}
    assert [file.path for file in client_of(place).list_artifacts(run.info.run_id, "overlay")] == ["overlay/000005.png"]


@needs_mlflow
def test_nobody_can_be_found_in_it(place, tmp_path):
    import getpass
    import platform

    writer = MlflowWriter(place, CONFIG)
    writer.on_validation(GOOD)
    (run,) = runs(place)
    assert run.data.tags == {"mlflow.runName": "tiny"}
    assert run.info.user_id == "unknown"
    content = b"".join(path.read_bytes() for path in place.store.rglob("*") if path.is_file())
    for marker in ("Quarkington", "Zebedeeson", platform.node()):
        assert marker.encode() not in content
    assert getpass.getuser() not in run.info.artifact_uri.replace(str(tmp_path), "")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert logging.getLogger("mlflow").handlers == []  # what it says goes through the redaction of all logs


@needs_mlflow
def test_folds_are_runs_of_one_store(place, tmp_path):
    for fold in ("fold-0", "fold-1"):
        (tmp_path / fold).mkdir()
        MlflowWriter(MlflowPlace(tmp_path / fold, place.store), CONFIG)
    assert sorted(run.data.tags["mlflow.runName"] for run in runs(place)) == ["tiny fold-0", "tiny fold-1"]


@needs_mlflow
def test_a_store_that_is_lost_stops_no_training(place, caplog, monkeypatch):
    from mlflow.exceptions import MlflowException

    tried = []

    def fails(*_, **__):
        tried.append(1)
        raise MlflowException("away")

    writer = MlflowWriter(place, CONFIG)
    monkeypatch.setattr(writer._client, "log_batch", fails)
    caplog.set_level(logging.WARNING, "medseg")
    for step in (50, 100, 150):
        writer.on_epoch(epoch(step))
        writer.on_validation(GOOD)
    assert len(tried) == 1
    assert [one.getMessage() for one in caplog.records] == [
        "MLflow does not take what is written; the run goes on without it"
    ]


@needs_mlflow
def test_a_card_that_is_not_taken_is_a_warning(place, tmp_path, caplog):
    track_card(CONFIG, tmp_path, place.store, tmp_path / "bundle")  # no run is known: nothing to do
    assert caplog.messages == []
    MlflowWriter(place, CONFIG)
    track_card(CONFIG, tmp_path, place.store, tmp_path / "nothing there")
    assert caplog.messages == ["MLflow does not take the model card; it is in the bundle"]


@needs_mlflow
def test_a_run_that_mlflow_forgot_begins_anew(place):
    MlflowWriter(place, CONFIG)
    (place.folder / "mlflow-run.txt").write_text("0" * 32)
    MlflowWriter(place, CONFIG)
    assert len(runs(place)) == 2


@needs_mlflow
def test_a_store_that_cannot_be_made_is_told_at_once(tmp_path):
    (tmp_path / "mlflow").write_text("a file")
    with pytest.raises(OutputError, match=r"MLflow does not take the run; look whether training.tracking_uri answers"):
        MlflowWriter(MlflowPlace(tmp_path, tmp_path / "mlflow"), CONFIG)


def test_without_mlflow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"training.tracking is mlflow, .* pip install 'medseg\[mlflow\]'"):
        MlflowWriter(MlflowPlace(tmp_path, tmp_path / "mlflow"), CONFIG)


def test_the_configuration_says_who_keeps_the_curves(tmp_path):
    for tracking, kinds in (("tensorboard", [TensorBoardWriter]), ("none", [])):
        config = run_config(training={"budget": {"epochs": 1}, "tracking": tracking})
        assert [type(one) for one in new_trackers(config, tmp_path, tmp_path / "mlflow")] == kinds
        track_card(config, tmp_path, tmp_path / "mlflow", tmp_path / "bundle")
    assert not (tmp_path / "mlflow").exists()
