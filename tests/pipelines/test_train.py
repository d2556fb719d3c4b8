from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import ball, run_config
from safetensors.torch import load_file

from medseg.config.load import dump_config
from medseg.config.sections import PostprocessingSection, RunConfig
from medseg.core.case import CaseId
from medseg.core.errors import ConfigError, InputError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.io.formats import write_label_map, write_volume
from medseg.pipelines.train import read_run_config, train
from medseg.training.finish import ValidationScore
from medseg.training.state import read_checkpoint

MEDSEG = Path(sys.executable).with_name("medseg")


class Notes:
    """Progress that remembers what it was told to say."""

    start = advance = finish = lambda *_: None

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.fixture
def cases(tmp_path) -> Path:
    """Six images of two bright balls; the second is brighter."""
    folder, rng = tmp_path / "cases", np.random.default_rng(0)
    for number in range(6):
        grid = Geometry.from_spacing((20, 20, 20))
        labels = np.zeros(grid.shape, np.uint8)
        labels[ball(grid.shape, rng.uniform(5, 7, 3), 4.5)] = 1
        labels[ball(grid.shape, rng.uniform(12, 14, 3), 4.0)] = 2
        image = np.array([0.0, 100.0, 200.0])[labels] + rng.normal(0, 15, grid.shape)
        write_volume(folder / "images" / f"c{number}.nii.gz", Volume(image[None].astype(np.float32), grid))
        write_label_map(folder / "labels" / f"c{number}.nii.gz", LabelMap(labels, grid))
    (folder / "labels.json").write_text('{"one": 1, "two": 2}')
    return folder


def config(folder: Path, *, epochs=2, steps=3, **changes) -> RunConfig:
    training = {"budget": {"epochs": epochs, "steps": steps}, "validate_every": 2, "precision": "fp32"}
    training["optimizer"] = {"lr": 0.01}
    data = {"folder": str(folder), "split": {"validation": 0.5}}
    return run_config(**{"data": data, "training": training, "network": network(3)} | changes)


def network(dims: int, features=(8, 16)) -> dict[str, object]:
    return run_config(dims=dims).network.model_dump() | {"features": features}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "bundle" / "model.safetensors")


def test_a_tiny_network_learns_two_balls(cases, tmp_path):
    result = train(config(cases, epochs=8, steps=15, augmentation={"enabled": False}), tmp_path / "run")
    assert {row["structure"]: row["cases"] for row in result.rows()} == {"one": 3, "two": 3}
    assert min(row["dice"] for row in result.rows()) > 0.95
    bundle = read_bundle(result.bundle)
    assert bundle.facts.extent_max_mm == (20, 20, 20)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.yaml", "split.json", "prepared", "tensorboard", "last.pt", "best.pt", "bundle",
    }  # fmt: skip


def test_slices_are_learned_by_the_same_path(cases, tmp_path):
    sampling = {"patch": (16, 16, 1), "batch": 8}
    flat = config(cases, epochs=8, steps=20, network=network(2), sampling=sampling, augmentation={"enabled": False})
    result = train(flat, tmp_path / "run")
    assert min(row["dice"] for row in result.rows()) > 0.9


def test_overlapping_regions_are_learned(cases, tmp_path):
    labels = {
        "structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}],
        "regions": [{"name": "both", "structures": ["one", "two"]}, {"name": "inner", "structures": ["two"]}],
    }
    result = train(config(cases, epochs=8, steps=15, labels=labels, augmentation={"enabled": False}), tmp_path / "run")
    assert [row["structure"] for row in result.rows()] == ["both", "inner"]
    assert min(row["dice"] for row in result.rows()) > 0.9


def test_a_killed_run_goes_on_bit_by_bit(cases, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(config(cases, epochs=6, steps=4)))
    whole = [MEDSEG, "train", tmp_path / "run.yaml", "-o"]
    subprocess.run([*whole, tmp_path / "whole"], check=True, capture_output=True)
    process = subprocess.Popen([*whole, tmp_path / "cut"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "cut" / "last.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "bundle").exists()
    subprocess.run([*whole, tmp_path / "cut", "--resume"], check=True, capture_output=True)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_two_processes_leave_one_bundle(cases, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(config(cases)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", MEDSEG]
    done = subprocess.run(
        [*command, "train", tmp_path / "run.yaml", "-o", tmp_path / "run"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert read_bundle(tmp_path / "run" / "bundle").scheme.names == ("one", "two")


def test_a_folder_with_a_run_is_not_overwritten(cases, tmp_path):
    train(config(cases), tmp_path / "run")
    with pytest.raises(InputError, match="holds a run already; pass --resume to go on, or name another folder"):
        train(config(cases), tmp_path / "run")
    other = config(cases, network=network(3, (4, 8)))
    with pytest.raises(ConfigError, match="differs from this configuration in network; a run is resumed with"):
        train(other, tmp_path / "run", resume=True)
    longer = train(config(cases, epochs=3), tmp_path / "run", resume=True)
    assert longer.bundle.is_dir()


def test_a_folder_with_other_files_is_left_alone(cases, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(InputError, match="holds other files; name a new or an empty folder"):
        train(config(cases), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_cases_that_validate_never_train_after_a_resume(cases, tmp_path):
    """A case that is added changes who is drawn."""
    train(config(cases), tmp_path / "run")
    for folder in ("images", "labels"):
        (cases / folder / "c6.nii.gz").write_bytes((cases / folder / "c0.nii.gz").read_bytes())
    with pytest.raises(ConfigError, match=r"the cases or their split are not those of '.*split\.json' any more"):
        train(config(cases, epochs=3), tmp_path / "run", resume=True)


def test_without_validation_cases_the_last_weights_are_kept(cases, tmp_path):
    everybody = {"folder": str(cases), "split": {"validation": 0.0}}
    notes = Notes()
    result = train(config(cases, data=everybody), tmp_path / "run", progress=notes)
    assert result.scores == ()
    last = read_checkpoint(tmp_path / "run" / "last.pt", torch.device("cpu"))["average"]
    assert all(torch.equal(last[name], weight) for name, weight in weights(tmp_path / "run").items())
    assert "no validation cases: the last weights are kept, and no clean-up is chosen" in notes.texts


def test_a_structure_without_a_score_is_null_in_the_bundle(cases, tmp_path, monkeypatch):
    unknown = ValidationScore(CaseId("c1"), "one", math.nan)
    monkeypatch.setattr("medseg.pipelines.train.validation_scores", lambda *_: [unknown])
    result = train(config(cases, epochs=1), tmp_path / "run")
    scores = json.loads((result.bundle / "scores.json").read_text())
    assert scores["validation"] == [{"case": "c1", "structure": "one", "dice": None}]
    assert scores["summary"] == [{"structure": "one", "cases": 0, "dice": None}]


def test_the_bundle_asks_for_the_channels_that_it_was_trained_on(tmp_path):
    grid, rng = Geometry.from_spacing((16, 16, 16)), np.random.default_rng(0)
    rows = ["case,label,image.T1,image.T2"]
    for number in range(3):
        labels = np.zeros(grid.shape, np.uint8)
        labels[ball(grid.shape, (8, 8, 8), 4)] = 1
        labels[ball(grid.shape, (8, 8, 8), 2)] = 2
        write_label_map(tmp_path / f"{number}_label.nii", LabelMap(labels, grid))
        for channel in ("T1", "T2"):
            image = Volume(rng.normal(0, 1, (1, *grid.shape)).astype(np.float32), grid)
            write_volume(tmp_path / f"{number}_{channel}.nii", image)
        rows.append(f"c{number},{number}_label.nii,{number}_T1.nii,{number}_T2.nii")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    (tmp_path / "labels.json").write_text('{"one": 1, "two": 2}')
    result = train(config(tmp_path, epochs=1, channels=[{"name": "T2"}]), tmp_path / "run")
    assert read_bundle(result.bundle).facts.modalities == ("T2",)


def test_sided_structures_are_never_mirrored(cases, tmp_path):
    notes = Notes()
    labels = {"structures": [{"name": "left ball", "value": 1}, {"name": "right ball", "value": 2}]}
    result = train(config(cases, labels=labels), tmp_path / "run", progress=notes)
    assert read_bundle(result.bundle).config.augmentation.mirror_axes == (1, 2)
    assert any("left-right mirroring is off" in text for text in notes.texts)


def test_a_budget_changes_the_schedule_only(tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(config(tmp_path)))
    plain, short = (read_run_config(tmp_path / "run.yaml", [], budget) for budget in (None, "90s"))
    assert short.training.budget.minutes == 1.5
    assert short.model_copy(update={"training": plain.training}) == plain


def test_clean_up_is_chosen_unless_it_is_given(cases, tmp_path):
    assert read_bundle(train(config(cases), tmp_path / "chosen").bundle).config.postprocessing is not None
    for name, given in (("none", {}), ("some", {"fill_holes": ("one",)})):
        bundle = read_bundle(train(config(cases, postprocessing=given), tmp_path / name).bundle)
        assert bundle.config.postprocessing == PostprocessingSection.model_validate(given)
