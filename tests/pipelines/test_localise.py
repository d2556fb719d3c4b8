"""A localiser and a main network trained, bundled and predicted as one model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from factories import ball, run_config
from localised import single_stage
from notes import Notes
from safetensors.torch import load_file

import medseg.pipelines.localise as module
from medseg.config.load import dump_config, load_config
from medseg.config.sections import RunConfig
from medseg.core.case import Case, CaseId
from medseg.core.errors import ConfigError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import LabelMap, Volume
from medseg.data.split import read_split
from medseg.evaluation.card import read_card
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.localiser import NOTHING_FOUND, Localiser
from medseg.inference.predictor import Predictor
from medseg.inference.region import embedded, in_region
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import write_label_map, write_volume
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice
from medseg.pipelines.cross_validate import FoldOptions, cross_validate
from medseg.pipelines.predict import PredictOptions, predict
from medseg.pipelines.train import train
from medseg.training.state import read_checkpoint

MEDSEG = Path(sys.executable).with_name("medseg")
CPU = PredictionSettings(device="cpu", precision="fp32", runtime="torch")
SHAPE = (44, 40, 48)
LOCALISER = {
    "spacing": (3.0, 3.0, 3.0),
    "network": run_config().network.model_dump() | {"features": (8, 16)},
    "patch": (16, 16, 16),
    "budget_share": 0.3,
}


def small_organ(seed: int) -> Case:
    """A bright ball somewhere in a large volume of noise."""
    rng = np.random.default_rng(seed)
    labels = ball(SHAPE, rng.uniform(9, np.array(SHAPE) - 9), 5.5).astype(np.uint8)
    image = 100.0 * labels + rng.normal(0, 15, SHAPE)
    grid = Geometry.from_spacing(SHAPE)
    return Case(CaseId(f"c{seed}"), Volume(image[None].astype(np.float32), grid), LabelMap(labels, grid))


def config_of(source: Path, *, epochs=10, steps=16, localiser=None, **changes) -> RunConfig:
    tree = {
        "structures": ("one",),
        "data": {"folder": str(source), "split": {"validation": 0.4}},
        "channels": [{"name": "image", "intensity": "ct", "clip": (-50, 150), "mean": 0, "std": 50}],
        "network": run_config().network.model_dump() | {"features": (8, 16)},
        "sampling": {"patch": (16, 16, 16), "batch": 2},
        "training": {
            "budget": {"epochs": epochs, "steps": steps},
            "precision": "fp32",
            "optimizer": {"lr": 0.05},
            "validate_every": 4,
            "tracking": "none",
        },
        "augmentation": {"enabled": False},
        "localiser": LOCALISER | dict(localiser or {}),
    }
    return run_config(**tree | changes)


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for case in map(small_organ, range(5)):
        write_volume(folder / "images" / f"{case.id}.nii.gz", case.image)
        write_label_map(folder / "labels" / f"{case.id}.nii.gz", case.label)
    (folder / "labels.json").write_text('{"one": 1}')
    return folder


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory) -> SimpleNamespace:
    folder, told = tmp_path_factory.mktemp("cascade") / "run", Notes()
    result = train(config_of(cases), folder, progress=told)
    return SimpleNamespace(folder=folder, told=told, result=result, bundle=read_bundle(result.bundle))


def weights(run: Path) -> dict[str, torch.Tensor]:
    bundle = run / "bundle"
    one, other = load_file(bundle / "model.safetensors"), load_file(bundle / "localiser" / "model.safetensors")
    return one | {f"localiser {name}": tensor for name, tensor in other.items()}


def assert_same_weights(one: Path, other: Path) -> None:
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def region_of(model: Bundle, image: Volume):
    return Localiser(model, CPU, torch.device("cpu"), None).region(image)


def test_both_are_trained_in_one_run_and_lie_in_one_bundle(trained):
    assert {path.name for path in trained.folder.iterdir()} == {
        "config.yaml", "split.json", "prepared", "localiser", "last.pt", "best.pt", "bundle",
    }  # fmt: skip
    assert {path.name for path in (trained.folder / "localiser").iterdir()} == {
        "config.yaml", "split.json", "prepared", "last.pt", "best.pt",
    }  # fmt: skip
    own = load_config(trained.folder / "localiser" / "config.yaml")
    assert own.training.budget.epochs == 3
    assert own.preprocessing.spacing == (3, 3, 3)
    model = trained.bundle
    assert model.localiser.config.network.features == (8, 16)
    assert model.config.training.budget.epochs == 10, "the bundle tells of the whole run"
    asked = load_config(trained.folder / "config.yaml").localiser
    assert asked.margin_mm is None
    assert model.config.localiser.margin_mm >= 6.0
    assert model.config.localiser.least_ml == pytest.approx(0.35, abs=0.03), "half of 0.7 mL"


def test_all_structures_lie_in_the_regions(trained):
    margin = trained.bundle.config.localiser.margin_mm
    assert any(f"localiser: margin {margin:g} mm" in note for note in trained.told.texts)
    for seed in range(5):
        case = small_organ(seed)
        outside = case.label.array.copy()
        box = region_of(trained.bundle, case.image)
        assert np.prod([part.stop - part.start for part in box]) < 0.6 * case.label.array.size
        outside[box] = 0
        assert not outside.any()


def test_it_finds_new_organs(trained):
    predictor = Predictor(trained.bundle, CPU)
    scores = []
    for seed in range(100, 104):
        case = small_organ(seed)
        scores.append(dice(count_voxels(predictor.predict(case.image).labels, case.label, trained.bundle.scheme))[0])
    assert min(scores) > 0.95
    assert trained.result.rows()[0]["dice"] > 0.95


def test_the_main_network_saw_regions_only(trained, cases, tmp_path, monkeypatch):
    seen = []

    def fit(run, cases, *, resume):
        seen.append((run, cases))
        raise KeyboardInterrupt

    monkeypatch.setattr("medseg.pipelines.train.fit", fit)
    for path in ("localiser", "prepared"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / path).symlink_to(trained.folder / path)
    for path in ("config.yaml", "split.json"):
        (tmp_path / "run" / path).write_text((trained.folder / path).read_text())
    with pytest.raises(KeyboardInterrupt):
        train(config_of(cases), tmp_path / "run", resume=True)
    run, regions = seen[0]
    assert run.config.training.budget.epochs == 7
    assert run.folder == tmp_path / "run"
    for case in (*regions.training, *regions.validation):
        image = small_organ(int(case.id[1:]))
        assert case.box == region_of(trained.bundle, image.image)
        assert case.target.sum() == image.label.array.sum()


def test_inside_it_is_the_single_stage_of_the_same_weights(trained):
    image, settings = small_organ(7).image, replace(CPU, probabilities=True)
    box = region_of(trained.bundle, image)
    part = Predictor(single_stage(trained.bundle), settings).predict(in_region(image, box))
    found = Predictor(trained.bundle, settings).predict(image)
    expected = embedded(part, box, image.geometry)
    assert np.array_equal(found.labels.array, expected.labels.array)
    assert np.array_equal(found.probabilities, expected.probabilities)


def test_predict_says_where_nothing_was_found(trained, tmp_path):
    noise = np.random.default_rng(9).normal(0, 15, (1, *SHAPE))
    empty = Volume(noise.astype(np.float32), Geometry.from_spacing(SHAPE))
    write_volume(tmp_path / "empty.nii.gz", empty)
    write_volume(tmp_path / "full.nii.gz", small_organ(8).image)
    told, bundle = Notes(), trained.result.bundle
    inputs = [tmp_path / "empty.nii.gz", tmp_path / "full.nii.gz"]
    predict(bundle, inputs, tmp_path / "out", PredictOptions(CPU), told)
    assert [text for text in told.texts if NOTHING_FOUND in text] == [f"empty.nii.gz: {NOTHING_FOUND}"]
    table = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert [NOTHING_FOUND in line for line in table] == [False, True, False]


def test_the_card_tells_of_it(trained):
    card = read_card(trained.result.bundle)
    assert card.localiser_parameters == sum(one.numel() for one in trained.bundle.localiser.network.parameters())
    text = (trained.result.bundle / "card.md").read_text()
    margin = trained.bundle.config.localiser.margin_mm
    assert "after a localiser has found the region" in text
    assert f"finds all structures as one at 3 x 3 x 3 mm, with a margin of {margin:g} mm" in text
    assert "outside of it nothing is outlined" in text


def test_a_run_that_stopped_in_its_localiser_goes_on_bit_by_bit(trained, cases, tmp_path, monkeypatch):
    whole = module.fit

    def killed(run, cases, *, resume):
        from medseg.training.loop import Trainer

        keep = Trainer._keep

        def keep_once(self, state, report):
            keep(self, state, report)
            if state.epoch == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_keep", keep_once)
            return whole(run, cases, resume=resume)

    with monkeypatch.context() as patch:
        patch.setattr(module, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config_of(cases), tmp_path / "run")
    assert (tmp_path / "run" / "localiser" / "last.pt").exists()
    assert not (tmp_path / "run" / "last.pt").exists()
    train(config_of(cases), tmp_path / "run", resume=True)
    assert_same_weights(trained.folder, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["localiser/last.pt", "last.pt"])
def test_a_killed_run_goes_on_bit_by_bit(trained, cases, tmp_path, place):
    (tmp_path / "run.yaml").write_text(dump_config(config_of(cases)))
    command = [MEDSEG, "train", tmp_path / "run.yaml", "-o", tmp_path / "cut"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (tmp_path / "cut" / place).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "bundle").exists()
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert_same_weights(trained.folder, tmp_path / "cut")


@pytest.mark.slow
def test_two_processes_leave_one_bundle(cases, tmp_path):
    (tmp_path / "run.yaml").write_text(dump_config(config_of(cases, epochs=2, steps=2)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", MEDSEG]
    done = subprocess.run(
        [*command, "train", tmp_path / "run.yaml", "-o", tmp_path / "run"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert read_bundle(tmp_path / "run" / "bundle").localiser is not None


def test_what_is_given_is_not_measured(cases, tmp_path):
    given = {"margin_mm": 4.0, "least_ml": 0.01, "foreground": "structures"}
    config = config_of(cases, epochs=2, steps=1, localiser=given)
    model = read_bundle(train(config, tmp_path / "run").bundle)
    assert (model.config.localiser.margin_mm, model.config.localiser.least_ml) == (4.0, 0.01)
    assert not model.localiser.config.labels.regions


def test_another_localiser_is_another_run(trained, cases):
    other = config_of(cases, localiser={"spacing": (4.0, 4.0, 4.0)})
    with pytest.raises(ConfigError, match="differs from this configuration in localiser"):
        train(other, trained.folder, resume=True)


def test_each_fold_has_a_localiser_of_its_own_cases(cases, tmp_path):
    config = config_of(cases, epochs=4, steps=8)
    done = cross_validate(config, tmp_path / "run", FoldOptions(2))
    folds = [tmp_path / "run" / f"fold-{fold}" for fold in range(2)]
    models = [read_bundle(fold / "bundle") for fold in folds]
    for fold in folds:
        assert read_split(fold / "localiser" / "split.json") == read_split(fold / "split.json")
        assert not (fold / "localiser" / "prepared").exists()
    assert len(list((tmp_path / "run" / "localiser" / "prepared").glob("*/stamp.txt"))) == 5
    joint = read_bundle(done.bundle)
    assert len(joint.members) == 2
    assert joint.config.localiser.margin_mm == max(one.config.localiser.margin_mm for one in models)
    assert torch.equal(*(next(one.localiser.network.parameters()) for one in (joint, models[0])))
    last = read_checkpoint(folds[0] / "localiser" / "last.pt")["average"]
    kept = models[0].localiser.network.state_dict()
    assert all(torch.equal(kept[name], last[name]) for name in kept), "held-out cases choose nothing"
    assert done.evaluation is not None


def test_pictures_have_none(tmp_path):
    grid = Geometry.from_spacing((32, 32, 1), unit=LengthUnit.PIXEL)
    for name in ("a", "b"):
        write_volume(tmp_path / "cases" / "images" / f"{name}.png", Volume(np.full((1, 32, 32, 1), 9, np.uint8), grid))
        write_label_map(tmp_path / "cases" / "labels" / f"{name}.png", LabelMap(np.ones((32, 32, 1), np.uint8), grid))
    (tmp_path / "cases" / "labels.json").write_text(json.dumps({"one": 1}))
    flat = run_config(2)
    changes = {"dims": 2, "network": flat.network, "sampling": {"patch": (12, 12, 1), "batch": 2}}
    with pytest.raises(ConfigError, match="a localiser needs images in millimetres; remove the section localiser"):
        train(config_of(tmp_path / "cases", **changes), tmp_path / "run")
