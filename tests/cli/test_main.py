from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import fails
from factories import geometry, label_map, run_config, volume

from medseg.config.load import dump_config, load_config
from medseg.core.case import CaseId
from medseg.core.volume import LabelMap
from medseg.io.formats import write_label_map, write_volume
from medseg.pipelines.train import TrainResult
from medseg.training.finish import ValidationScore

COMMANDS = (
    "inspect", "plan", "train", "pretrain", "predict", "evaluate", "compare", "card", "bench", "batch", "convert",
    "listen", "deidentify", "review", "demo",
)  # fmt: skip


def test_help_names_every_command(medseg):
    text = medseg("--help").out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_states_defaults(medseg, command):
    done = medseg(command, "--help")
    assert done.code == 0
    options = re.split(r"\n  (?=-)", done.out.partition("Options:")[2])
    for option in options[1:-1]:  # the last one is --help itself
        assert "[required]" in option or "default:" in " ".join(option.split()), option


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "nowhere"),
        ("plan", "nowhere", "-o", "x.yaml"),
        ("evaluate", "nowhere", "nowhere", "-o", "report"),
        ("compare", "nowhere", "elsewhere", "-o", "out"),
        ("predict", "MODEL", "nowhere", "-o", "out"),
        ("predict", "nowhere", "nowhere", "-o", "out"),
        ("train", "nowhere.yaml", "-o", "run"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_wrong_path_is_one_sentence(medseg, model, tmp_path, arguments):
    before = {path.name for path in tmp_path.iterdir()}
    done = medseg(*(model if one == "MODEL" else one for one in arguments))
    fails(done, "nowhere")
    assert {path.name for path in tmp_path.iterdir()} - before <= {"out"}


@pytest.mark.parametrize("arguments", [("plan", "empty", "-o", "x.yaml"), ("predict", "MODEL", "empty", "-o", "out")])
def test_an_empty_folder_is_one_sentence(medseg, model, tmp_path, arguments):
    (tmp_path / "empty").mkdir()
    fails(medseg(*(model if one == "MODEL" else one for one in arguments)))
    assert not (tmp_path / "x.yaml").exists()


def test_a_model_for_other_channels(medseg, model, tmp_path):
    write_volume(tmp_path / "two.nii.gz", volume(channels=("a", "b")))
    fails(medseg("predict", model, "two.nii.gz", "-o", "out"), "1 channel")
    assert list((tmp_path / "out").glob("*.nii.gz")) == []


def test_two_inputs_of_one_name(medseg, model, tmp_path):
    for folder in ("one", "two"):
        write_volume(tmp_path / folder / "scan.nii.gz", volume())
    fails(medseg("predict", model, "one/scan.nii.gz", "two/scan.nii.gz", "-o", "out"), "scan")
    assert not (tmp_path / "out" / "scan.nii.gz").exists()


@pytest.mark.parametrize("text", ["T1", "=x.nii.gz", "T1="])
def test_a_channel_that_is_none(medseg, model, text):
    fails(medseg("predict", model, "--channel", text, "-o", "out"), "not of the form NAME=PATH")


def test_one_failed_image_of_two_is_exit_code_one(medseg, model, tmp_path):
    write_volume(tmp_path / "in" / "good.nii.gz", volume(geometry(shape=(16, 16, 16), spacing=(1, 1, 1))))
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"\x1f\x8b broken")
    done = medseg("predict", model, "in", "-o", "out", "--json")
    assert done.code == 1
    rows = {row["case"]: row for row in json.loads(done.out)}
    assert rows["good"]["status"] == "done"
    assert rows["bad"]["status"] == "failed"
    assert rows["bad"]["reason"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.nii.gz", "predictions.csv"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(medseg, model, tmp_path, monkeypatch):
    write_volume(tmp_path / "scan.nii.gz", volume(geometry(shape=(16, 16, 16), spacing=(1, 1, 1))))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medseg.core.files.os.fsync", full)
    fails(medseg("predict", model, "scan.nii.gz", "-o", "out"), "the disk is full")
    assert list((tmp_path / "out").glob("*")) == []


def test_a_device_that_is_not_there(medseg, model, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    write_volume(tmp_path / "scan.nii.gz", volume())
    fails(medseg("predict", model, "scan.nii.gz", "-o", "out", "--device", "cuda"), "device 'cuda' is not there", "cpu")


def test_some_structures_by_their_names(medseg, model, tmp_path):
    write_volume(tmp_path / "scan.nii.gz", volume(geometry((20, 18, 17))))
    call = ("predict", model, "scan.nii.gz", "-o", "out", "--device", "cpu", "--runtime", "torch", "--no-skip-air")
    done = medseg(*call, "--structures", "two, one", "--json")
    assert [name for name in json.loads(done.out)[0] if name.endswith(" mL")] == ["one mL", "two mL"]
    done = medseg(*call, "--structures", "two", "--json")
    assert [name for name in json.loads(done.out)[0] if name.endswith(" mL")] == ["two mL"]
    fails(medseg(*call, "--structures", "two,liver"), "'liver'", "it knows 'one', 'two'")


def test_a_bad_override_names_the_key(medseg, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(run_config()))
    fails(
        medseg("train", "run.yaml", "-o", "run", "--set", "training.optimizer.lr=fast"),
        "run.yaml",
        "training.optimizer.lr",
    )
    fails(medseg("train", "run.yaml", "-o", "run", "--budget", "soon"), "20min")
    assert not (tmp_path / "run").exists()


def test_a_training_whose_data_is_elsewhere_says_how_to_name_it(medseg, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(run_config()))
    fails(medseg("train", "run.yaml", "-o", "run"), "data.folder 'cases' does not exist", "--set data.folder=PATH")
    assert not (tmp_path / "run").exists()


def test_scores_as_json_are_json(medseg, tmp_path):
    truth = label_map(values=(0, 1))
    for folder in ("predicted", "reference"):
        write_label_map(tmp_path / folder / "a.nii.gz", truth)
    done = medseg("evaluate", "predicted", "reference", "-o", "report", "--json")
    assert done.code == 0
    assert json.loads(done.out)[0]["Dice"] == 1.0
    written = {path.name for path in (tmp_path / "report").iterdir()} - {"scores.parquet"}  # needs an extra
    assert written == {"scores.csv", "scores.json", "report.html"}


def test_a_pair_on_different_grids_fails_alone(medseg, tmp_path):
    for name in ("a", "b"):
        write_label_map(tmp_path / "reference" / f"{name}.nii.gz", label_map())
        write_label_map(tmp_path / "predicted" / f"{name}.nii.gz", label_map())
    shifted = LabelMap(label_map().array, geometry(spacing=(1.0, 1.5, 3.0)))
    write_label_map(tmp_path / "predicted" / "b.nii.gz", shifted)
    done = medseg("evaluate", "predicted", "reference", "-o", "report")
    assert done.code == 1
    assert "different grids" in (tmp_path / "report" / "scores.csv").read_text()


def test_a_data_set_with_an_error_is_exit_code_one(medseg, tmp_path):
    for name in ("a", "b"):
        write_volume(tmp_path / "cases" / "images" / f"{name}.nii.gz", volume())
        write_label_map(tmp_path / "cases" / "labels" / f"{name}.nii.gz", label_map())
    assert medseg("inspect", "cases").code == 0
    other = label_map(geometry(shape=(3, 3, 3)), values=(0, 1))
    write_label_map(tmp_path / "cases" / "labels" / "b.nii.gz", other)
    done = medseg("inspect", "cases", "--json")
    assert done.code == 1
    assert any("different grids" in str(row) for row in json.loads(done.out))


def test_a_plan_is_written_and_says_what_to_do_next(medseg, tmp_path):
    for number in range(3):
        grid = geometry(shape=(20, 20, 20), spacing=(1, 1, 1))
        labels = np.zeros(grid.shape, np.uint8)
        labels[5:10, 5:10, 5:10] = 1
        write_volume(tmp_path / "cases" / "images" / f"c{number}.nii.gz", volume(grid, seed=number))
        write_label_map(tmp_path / "cases" / "labels" / f"c{number}.nii.gz", LabelMap(labels, grid))
    done = medseg("plan", "cases", "-o", "run.yaml", "--budget", "5min")
    assert done.code == 0
    assert "next: medseg train run.yaml -o RUN" in done.out
    assert (tmp_path / "run.yaml").exists()
    done = medseg("plan", "cases", "-o", "deep.yaml", "--network", "deeplab", "--dims", "2", "--device", "cpu")
    assert "network deeplab," in done.out
    assert load_config(tmp_path / "deep.yaml").network.dims == 2
    assert medseg("plan", "cases", "-o", "x.yaml", "--network", "lenet").code == 2


@pytest.mark.parametrize("command", ["inspect", "train", "predict", "evaluate", "compare", "demo"])
def test_every_table_can_be_json(medseg, command):
    assert "--json" in medseg(command, "--help").out


def test_a_training_and_a_demo_leave_stdout_to_json(medseg, tmp_path, monkeypatch):
    (tmp_path / "run.yaml").write_text(dump_config(run_config()))
    result = TrainResult(Path("run/bundle"), (ValidationScore(CaseId("c1"), "one", 0.5),))
    monkeypatch.setattr("medseg.pipelines.train.train", lambda *_, **__: result)
    done = medseg("train", "run.yaml", "-o", "run", "--json")
    assert json.loads(done.out) == [{"structure": "one", "cases": 1, "dice": 0.5}]
    assert "the model lies in run/bundle" in done.err
    places = dict.fromkeys(
        ("studies", "deidentified", "configuration", "bundle", "predictions", "report"), Path("demo")
    )
    shown = SimpleNamespace(evaluation=SimpleNamespace(summary_rows=lambda: [{"structure": "one"}]), **places)
    monkeypatch.setattr("medseg.pipelines.demo.demo", lambda *_, **__: shown)
    done = medseg("demo", "--json")
    assert json.loads(done.out) == [{"structure": "one"}]
    assert "report: demo/report.html" in done.err
