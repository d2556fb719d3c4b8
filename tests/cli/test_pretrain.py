from __future__ import annotations

import json

import pytest
from ball_cases import CASES, small_config, write_balls
from command_line import fails

from medseg.cli.arguments import start_override
from medseg.config.load import dump_config, load_config, parse_config
from medseg.inference.bundle import read_bundle


@pytest.fixture
def config(tmp_path):
    write_balls(tmp_path / "cases", CASES[:4])
    (tmp_path / "run.yaml").write_text(dump_config(small_config(tmp_path / "cases", epochs=1, steps=1)))
    return "run.yaml"


def test_a_training_starts_from_a_pretraining(medseg, config, tmp_path):
    done = medseg("pretrain", config, "-o", "pre", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["images"] == 2
    done = medseg(
        "train", config, "-o", "run", "--init-from", "pre/pretrained", "--set", "training.init.freeze=encoder"
    )
    assert done.code == 0, done.err
    assert "taken from pretraining 'tiny'" in done.err
    assert read_bundle(tmp_path / "run" / "bundle").config.training.init.freeze == "encoder"


def test_what_the_error_is_measured_on_is_told(medseg, config):
    assert "images that it never learned from" in medseg("pretrain", config, "-o", "pre").out
    done = medseg("pretrain", config, "-o", "all", "--set", "data.split.validation=0")
    assert "images that it learned from, as none validate" in done.out


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_only_the_first_process_talks(medseg, config, monkeypatch, command):
    monkeypatch.setattr("medseg.training.distributed.is_main_process", lambda: False)
    for folds in ([], ["--folds", "2"])[: 2 if command == "train" else 1]:
        done = medseg(command, config, "-o", f"run{len(folds)}", *folds)
        assert (done.code, done.out, done.err) == (0, "", "")


def test_a_plan_takes_over_a_models_network(medseg, config, tmp_path):
    assert medseg("train", config, "-o", "run").code == 0
    done = medseg("plan", "cases", "-o", "plan.yaml", "--init-from", "run/bundle")
    assert done.code == 0, done.err
    assert "are the model's, so that its weights fit" in done.out
    made = load_config(tmp_path / "plan.yaml")
    assert made.network.features == (8, 16)
    assert str(made.training.init.bundle) == "run/bundle"


def test_a_model_that_is_not_there_is_one_sentence(medseg, config, tmp_path):
    fails(medseg("train", config, "-o", "run", "--init-from", "nowhere"), "nowhere")
    fails(medseg("plan", "cases", "-o", "plan.yaml", "--init-from", "nowhere"), "nowhere")
    fails(medseg("pretrain", "nowhere.yaml", "-o", "pre"), "nowhere.yaml")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "plan.yaml").exists()


@pytest.mark.parametrize("name", ["a: b", "#1", "- x", "{y}", "null", 'a "quoted" one'])
def test_any_folder_name_may_be_given(tmp_path, name):
    text = dump_config(small_config(tmp_path))
    config = parse_config(text, "run.yaml", start_override(tmp_path / name))
    assert config.training.init.bundle == tmp_path / name
    assert start_override(None) == ()
