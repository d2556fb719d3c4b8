from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ball_cases import small_config, write_balls, write_manifest
from notes import Notes
from safetensors.torch import load_file

from medseg.config.load import dump_config
from medseg.core.errors import BundleError, ConfigError, InputError
from medseg.inference.bundle import read_bundle
from medseg.inference.starting_weights import read_starting_weights
from medseg.pipelines.pretrain import pretrain
from medseg.pipelines.train import train
from medseg.training.start import RECORD
from medseg.training.state import read_checkpoint

CPU = torch.device("cpu")
MEDSEG = Path(sys.executable).with_name("medseg")


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    """Not to be changed."""
    return write_balls(tmp_path_factory.mktemp("data") / "cases")


@pytest.fixture(scope="module")
def source(cases, tmp_path_factory) -> Path:
    """The bundle of a training, not to be changed."""
    return train(small_config(cases), tmp_path_factory.mktemp("source") / "run").bundle


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "bundle" / "model.safetensors")


def init(bundle: Path, **changes) -> dict[str, object]:
    return {"training": {"init": {"bundle": bundle} | changes}}


def test_a_pretrained_network_starts_a_training(tmp_path):
    cases = write_balls(tmp_path / "cases")
    for label in sorted((cases / "labels").iterdir())[2:]:
        label.unlink()
    settings = small_config(write_manifest(cases), epochs=8, steps=8, pretraining={"block": 4, "masked": 0.4})
    notes = Notes()
    result = pretrain(settings, tmp_path / "pre", progress=notes)
    assert result.cases == 5  # one of the two labelled cases validates
    assert result.error.network < result.error.mean
    told = json.loads((result.pretrained / "pretraining.json").read_text())
    assert told["images"] == 5
    assert "5 images" in notes.texts[0]
    start = read_starting_weights(result.pretrained)
    assert (start.inputs, start.outputs) == (("image",), ())
    trained = train(small_config(cases / "manifest.csv", **init(result.pretrained)), tmp_path / "run")
    report = json.loads((tmp_path / "run" / RECORD).read_text())
    assert {name.partition(".")[0] for name in report["left"]} == {"heads"}
    assert "encoder.0.0.weight" in report["taken"]
    assert trained.bundle.is_dir()


def test_a_pretraining_is_no_bundle_to_predict_with(cases, tmp_path):
    result = pretrain(small_config(cases, epochs=1), tmp_path / "pre")
    with pytest.raises(BundleError, match="is no bundle"):
        read_bundle(result.pretrained)
    text = b"".join(path.read_bytes() for path in result.pretrained.iterdir() if path.suffix != ".safetensors")
    assert str(tmp_path).encode() not in text


def test_images_alone_are_enough(tmp_path):
    cases = write_balls(tmp_path / "cases")
    shutil.rmtree(cases / "labels")
    (cases / "labels.json").unlink()
    result = pretrain(small_config(cases, epochs=1), tmp_path / "pre")
    assert result.cases == 3  # the others validate
    assert [*result.rows()[0]] == ["images", "hidden voxels off by", "mean of the visible"]


def test_curves_are_kept_where_the_configuration_says(cases, tmp_path):
    for tracking in ("tensorboard", "none"):
        pretrain(small_config(cases, epochs=1, training={"tracking": tracking}), tmp_path / tracking)
    assert (tmp_path / "tensorboard" / "tensorboard").is_dir()
    assert not (tmp_path / "none" / "tensorboard").exists()


def test_a_pretraining_that_stopped_goes_on_bit_by_bit(cases, tmp_path, monkeypatch):
    settings = small_config(cases, epochs=4)
    whole = pretrain(settings, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr("medseg.training.pretrain.ReconstructionCheck.__call__", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, tmp_path / "cut")
    with pytest.raises(InputError, match="holds a run already"):
        pretrain(settings, tmp_path / "cut")
    again = pretrain(settings, tmp_path / "cut", resume=True)
    one, other = (load_file(run.pretrained / "pretrained.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    once_more = pretrain(settings, tmp_path / "cut", resume=True)
    assert once_more.error == again.error


def _interrupted(_check, _network):
    raise KeyboardInterrupt


def test_a_run_starts_from_a_model_and_says_so(cases, source, tmp_path):
    notes = Notes()
    train(small_config(cases, epochs=1, steps=1, **init(source)), tmp_path / "run", progress=notes)
    assert any(
        text.startswith("taken from model 'tiny': 21 weights (encoder 12, up 1, decoder 6, heads 2)")
        for text in notes.texts
    )
    report = json.loads((tmp_path / "run" / RECORD).read_text())
    assert len(report["taken"]) == len(load_file(source / "model.safetensors"))
    assert read_bundle(tmp_path / "run" / "bundle").config.training.init.bundle == Path()


def test_a_frozen_encoder_is_the_models_to_the_last_bit(cases, source, tmp_path):
    train(small_config(cases, **init(source, freeze="encoder")), tmp_path / "run")
    before, after = load_file(source / "model.safetensors"), weights(tmp_path / "run")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith("encoder.")}


@pytest.mark.parametrize("changes", [{"freeze": "encoder"}, {"encoder_lr_factor": 0.1}])
def test_a_resumed_run_keeps_its_paces_without_the_model(cases, source, tmp_path, changes):
    source = Path(shutil.copytree(source, tmp_path / "source"))
    settings = small_config(cases, epochs=4, **init(source, **changes))
    train(settings, tmp_path / "whole")
    train(small_config(cases, epochs=2, **init(source, **changes)), tmp_path / "cut")
    source.rename(tmp_path / "gone")
    last = read_checkpoint(tmp_path / "cut" / "last.pt")
    assert last["counters"]["epoch"] == 2
    train(settings, tmp_path / "cut", resume=True)
    before, after = load_file(tmp_path / "gone" / "model.safetensors"), weights(tmp_path / "cut")
    kept = torch.equal(before["encoder.0.0.weight"], after["encoder.0.0.weight"])
    assert kept == ("freeze" in changes)
    moved = [_moved(before, weights(tmp_path / run), "encoder") for run in ("whole", "cut")]
    assert (max(moved) == 0) == ("freeze" in changes)
    assert max(moved) < _moved(before, after, "heads")


def _moved(before, after, part):
    return float(np.mean([(after[n] - before[n]).abs().mean() for n in before if n.startswith(part)]))


@pytest.mark.slow
def test_two_processes_pretrain_and_start_from_a_model_as_one_does(cases, tmp_path):
    settings = small_config(cases, epochs=1)
    (tmp_path / "run.yaml").write_text(dump_config(settings))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", MEDSEG]
    start = ["--init-from", tmp_path / "pre" / "pretrained", "--set", "training.init.freeze=encoder"]
    for words in (
        ["pretrain", tmp_path / "run.yaml", "-o", tmp_path / "pre"],
        ["train", tmp_path / "run.yaml", "-o", tmp_path / "run", *start],
    ):
        done = subprocess.run([*command, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("next: medseg") == 1
        assert done.stderr.count("training …") == 1
    alone = pretrain(settings, tmp_path / "alone")
    both = json.loads((tmp_path / "pre" / "pretrained" / "pretraining.json").read_text())
    assert both["error"]["mean"] == pytest.approx(alone.error.mean)
    before = load_file(tmp_path / "pre" / "pretrained" / "pretrained.safetensors")
    after = weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder."))


def test_a_model_that_is_not_there_is_told(cases, source, tmp_path):
    with pytest.raises(InputError, match="the model to start from, .*nowhere', does not exist"):
        train(small_config(cases, **init(tmp_path / "nowhere")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "no-model").mkdir()
    with pytest.raises(BundleError, match="is no bundle"):
        train(small_config(cases, **init(tmp_path / "no-model")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run2").mkdir()
    flat = small_config(cases, dims=2, **init(source))
    with pytest.raises(BundleError, match="no weights of model 'tiny' .* fit this network"):
        train(flat, tmp_path / "run2")


def test_a_run_is_resumed_with_the_model_that_it_began_with(cases, source, tmp_path):
    train(small_config(cases, **init(source)), tmp_path / "run")
    with pytest.raises(ConfigError, match="differs from this configuration in training"):
        train(small_config(cases), tmp_path / "run", resume=True)
    (tmp_path / "run" / RECORD).unlink()
    with pytest.raises(BundleError, match=r"init\.json of the run is missing or damaged"):
        train(small_config(cases, epochs=3, **init(source)), tmp_path / "run", resume=True)
