from __future__ import annotations

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
from medseg.config.sections import RunConfig
from medseg.core.errors import ConfigError, InputError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.io.formats import write_label_map, write_volume
from medseg.pipelines.train import read_run_config, train

MEDSEG = Path(sys.executable).with_name("medseg")


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
    with pytest.raises(ConfigError, match="differs from this configuration"):
        train(other, tmp_path / "run", resume=True)
    longer = train(config(cases, epochs=3), tmp_path / "run", resume=True)
    assert longer.bundle.is_dir()


def test_sided_structures_are_never_mirrored(cases, tmp_path):
    notes = []

    class Notes:
        start = advance = finish = lambda *_: None

        def note(self, text):
            notes.append(text)

    labels = {"structures": [{"name": "left ball", "value": 1}, {"name": "right ball", "value": 2}]}
    result = train(config(cases, labels=labels), tmp_path / "run", progress=Notes())
    assert read_bundle(result.bundle).config.augmentation.mirror_axes == (1, 2)
    assert any("left-right mirroring is off" in note for note in notes)


def test_a_budget_changes_the_schedule_only(tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(config(tmp_path)))
    plain, short = (read_run_config(tmp_path / "run.yaml", [], budget) for budget in (None, "90s"))
    assert short.training.budget.minutes == 1.5
    assert short.model_copy(update={"training": plain.training}) == plain
