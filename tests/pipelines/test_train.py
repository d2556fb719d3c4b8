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
from ball_cases import small_config, write_balls
from factories import ball, run_config
from notes import Notes
from safetensors.torch import load_file

from medseg.config.load import dump_config
from medseg.config.sections import PostprocessingSection
from medseg.core.case import CaseId
from medseg.core.errors import ConfigError, InputError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.io.formats import write_label_map, write_volume
from medseg.pipelines.train import read_run_config, train
from medseg.training.execution import THIN
from medseg.training.finish import ValidationScore
from medseg.training.state import read_checkpoint

MEDSEG = Path(sys.executable).with_name("medseg")
OFF = {"enabled": False}
FAST = {"optimizer": {"lr": 0.03}}


@pytest.fixture
def cases(tmp_path) -> Path:
    return write_balls(tmp_path / "cases")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "bundle" / "model.safetensors")


def test_a_tiny_network_learns_two_balls(cases, tmp_path):
    result = train(small_config(cases, epochs=8, steps=15, augmentation=OFF), tmp_path / "run")
    assert {row["structure"]: row["cases"] for row in result.rows()} == {"one": 3, "two": 3}
    assert min(row["dice"] for row in result.rows()) > 0.95
    bundle = read_bundle(result.bundle)
    assert bundle.facts.extent_max_mm == (16, 16, 16)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.yaml", "split.json", "prepared", "tensorboard", "last.pt", "best.pt", "bundle",
    }  # fmt: skip


def test_slices_are_learned_by_the_same_path(cases, tmp_path):
    result = train(small_config(cases, dims=2, epochs=8, steps=20, training=FAST, augmentation=OFF), tmp_path / "run")
    assert min(row["dice"] for row in result.rows()) > 0.9


def test_overlapping_regions_are_learned(cases, tmp_path):
    labels = {
        "structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}],
        "regions": [{"name": "both", "structures": ["one", "two"]}, {"name": "inner", "structures": ["two"]}],
    }
    result = train(small_config(cases, epochs=8, steps=15, labels=labels, augmentation=OFF), tmp_path / "run")
    assert [row["structure"] for row in result.rows()] == ["both", "inner"]
    assert min(row["dice"] for row in result.rows()) > 0.9


def test_a_killed_run_goes_on_bit_by_bit(cases, tmp_path):
    config = small_config(cases, epochs=6, steps=4)
    train(config, tmp_path / "whole")
    (tmp_path / "run.yaml").write_text(dump_config(config))
    command = [MEDSEG, "train", tmp_path / "run.yaml", "-o", tmp_path / "cut"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "cut" / "last.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "bundle").exists()
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_processes_leave_one_bundle(cases, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(small_config(cases)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", MEDSEG]
    done = subprocess.run(
        [*command, "train", tmp_path / "run.yaml", "-o", tmp_path / "run"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert read_bundle(tmp_path / "run" / "bundle").scheme.names == ("one", "two")


@pytest.mark.parametrize(("patch", "is_thin"), [((4, 12, 12), True), ((12, 12, 4), False)])
def test_bfloat16_is_not_trusted_with_two_slices(cases, tmp_path, patch, is_thin):
    notes, sampling = Notes(), {"patch": patch, "batch": 1}
    config = small_config(cases, epochs=1, steps=1, training={"precision": "bf16"}, sampling=sampling)
    train(config, tmp_path / "run", progress=notes)
    assert (THIN in notes.texts) == is_thin


def test_a_folder_with_a_run_is_not_overwritten(cases, tmp_path):
    train(small_config(cases, epochs=1, steps=1), tmp_path / "run")
    with pytest.raises(InputError, match="holds a run already; pass --resume to go on, or name another folder"):
        train(small_config(cases), tmp_path / "run")
    other = small_config(cases, network=run_config().network)
    with pytest.raises(ConfigError, match="differs from this configuration in network.*; a run is resumed with"):
        train(other, tmp_path / "run", resume=True)
    longer = train(small_config(cases, epochs=2, steps=1), tmp_path / "run", resume=True)
    assert longer.bundle.is_dir()


def test_a_run_that_learned_nothing_yet_may_be_changed(cases, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("medseg.pipelines.train.prepare_split", lambda run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(small_config(cases, sampling={"patch": (16, 16, 16), "batch": 1}), tmp_path / "run")
    result = train(small_config(cases, epochs=1, steps=1), tmp_path / "run", resume=True)
    assert read_bundle(result.bundle).config.sampling.batch == small_config(cases).sampling.batch
    smaller = small_config(cases, epochs=1, steps=1, sampling={"patch": (16, 16, 16), "batch": 1})
    with pytest.raises(ConfigError, match=r"differs from this configuration in sampling\.\w+"):
        train(smaller, tmp_path / "run", resume=True)


def test_clean_up_may_be_corrected_after_the_training(cases, tmp_path):
    train(small_config(cases, epochs=1, steps=1, postprocessing={}), tmp_path / "run")
    changed = small_config(cases, epochs=1, steps=1, postprocessing={"fill_holes": ["one"]})
    result = train(changed, tmp_path / "run", resume=True)
    assert read_bundle(result.bundle).config.postprocessing.fill_holes == ("one",)


def test_a_folder_with_other_files_is_left_alone(cases, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(InputError, match="holds other files; name a new or an empty folder"):
        train(small_config(cases), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_cases_that_validate_never_train_after_a_resume(cases, tmp_path):
    """A case that is added changes who is drawn."""
    train(small_config(cases, epochs=1, steps=1), tmp_path / "run")
    for folder in ("images", "labels"):
        (cases / folder / "c6.nii.gz").write_bytes((cases / folder / "c0.nii.gz").read_bytes())
    with pytest.raises(ConfigError, match=r"the cases or their split are not those of '.*split\.json' any more"):
        train(small_config(cases, epochs=2, steps=1), tmp_path / "run", resume=True)


def test_without_validation_cases_the_last_weights_are_kept(cases, tmp_path):
    everybody = {"folder": str(cases), "split": {"validation": 0.0}}
    notes = Notes()
    result = train(small_config(cases, data=everybody), tmp_path / "run", progress=notes)
    assert result.scores == ()
    last = read_checkpoint(tmp_path / "run" / "last.pt")["average"]
    assert all(torch.equal(last[name], weight) for name, weight in weights(tmp_path / "run").items())
    assert "no validation cases: the last weights are kept, and no clean-up is chosen" in notes.texts


def test_a_structure_without_a_score_is_null_in_the_bundle(cases, tmp_path, monkeypatch):
    unknown = ValidationScore(CaseId("c1"), "one", math.nan)
    monkeypatch.setattr("medseg.pipelines.train.validation_scores", lambda *_: [unknown])
    result = train(small_config(cases, epochs=1), tmp_path / "run")
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
    result = train(small_config(tmp_path, epochs=1, channels=[{"name": "T2"}]), tmp_path / "run")
    assert read_bundle(result.bundle).facts.modalities == ("T2",)


def test_sided_structures_are_never_mirrored(cases, tmp_path):
    notes = Notes()
    labels = {"structures": [{"name": "left ball", "value": 1}, {"name": "right ball", "value": 2}]}
    result = train(small_config(cases, labels=labels), tmp_path / "run", progress=notes)
    assert read_bundle(result.bundle).config.augmentation.mirror_axes == (1, 2)
    assert any("left-right mirroring is off" in text for text in notes.texts)


def test_a_budget_changes_the_schedule_only(tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(small_config(tmp_path)))
    plain, short = (read_run_config(tmp_path / "run.yaml", [], budget) for budget in (None, "90s"))
    assert short.training.budget.minutes == 1.5
    assert short.model_copy(update={"training": plain.training}) == plain


def test_clean_up_is_chosen_unless_it_is_given(cases, tmp_path):
    chosen = train(small_config(cases, epochs=1, steps=1), tmp_path / "chosen").bundle
    assert read_bundle(chosen).config.postprocessing is not None
    for name, given in (("none", {}), ("some", {"fill_holes": ("one",)})):
        config = small_config(cases, epochs=1, steps=1, postprocessing=given)
        bundle = read_bundle(train(config, tmp_path / name).bundle)
        assert bundle.config.postprocessing == PostprocessingSection.model_validate(given)
