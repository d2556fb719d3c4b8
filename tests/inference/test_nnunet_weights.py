"""Weights of nnU-Net's U-Nets in medseg's networks, and files that are made to harm."""

from __future__ import annotations

import os
import pickle

import nnunet_models as models
import pytest
import torch

from medseg.core.errors import BundleError
from medseg.inference.bundle import output_channels
from medseg.inference.nnunet_config import NnunetModel, label_scheme_of, model_config
from medseg.inference.nnunet_plans import DatasetDescription, Plans
from medseg.inference.nnunet_weights import load_network, read_checkpoint


def config_of(plan, described, checkpoint, stored="ijk"):
    document = Plans.model_validate(models.plans({"c": plan}))
    model = NnunetModel(document, document.configuration("c"), DatasetDescription.model_validate(described), stored)
    return model_config(model, checkpoint, None)


def saved(tmp_path, content):
    (tmp_path / "fold_0").mkdir(exist_ok=True)
    path = tmp_path / "fold_0" / "checkpoint_final.pth"
    torch.save(content, path)
    return path


def loaded(tmp_path, plan, described, content):
    checkpoint = read_checkpoint(saved(tmp_path, content))
    config = config_of(plan, described, checkpoint)
    outputs = output_channels(label_scheme_of(DatasetDescription.model_validate(described)))
    return load_network(config, outputs, checkpoint.weights, "fold_0/checkpoint_final.pth")


KINDS = {
    "plain 3D": (3, False, None, None),
    "plain 2D": (2, False, None, None),
    "residual 3D": (3, True, None, None),
    "residual 2D": (2, True, None, None),
    "anisotropic": (3, False, [[1, 3, 3], [1, 3, 3], [3, 3, 3]], [[1, 1, 1], [1, 2, 2], [2, 2, 1]]),
    "residual anisotropic": (3, True, [[1, 3, 3], [3, 3, 3], [3, 3, 3]], [[1, 1, 1], [1, 2, 2], [1, 1, 2]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_gives_the_logits_of_nnunets(tmp_path, kind):
    dims, residual, kernels, strides = KINDS[kind]
    plan, described = models.configuration(dims, residual=residual, channels=2), models.description(("T1", "T2"))
    plan["architecture"]["arch_kwargs"] = models.network_plan(dims, residual=residual, kernels=kernels, strides=strides)
    theirs = models.peer(plan, described)
    ours = loaded(tmp_path, plan, described, models.checkpoint(theirs, "c", range(dims)))
    image = torch.randn((2, 2, *[16] * dims), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, got = theirs(image), ours(image)
    assert got.shape == wanted.shape
    assert torch.allclose(got, wanted, atol=1e-4 * float(wanted.abs().max()))
    assert not ours.training


def test_without_biases_too(tmp_path):
    plan, described = models.configuration(), models.description()
    plan["architecture"]["arch_kwargs"]["conv_bias"] = False
    theirs = models.peer(plan, described)
    content = models.checkpoint(theirs, "c")
    biases = [name for name in content["network_weights"] if ".conv.bias" in name or "transpconvs" in name]
    for name in [name for name in biases if name.endswith("bias")]:
        del content["network_weights"][name]
    assert not any("bias" in name for name in loaded(tmp_path, plan, described, content).up.state_dict())


def test_prefixes_of_wrappers_go(tmp_path):
    plan, described = models.configuration(), models.description()
    content = models.checkpoint(models.peer(plan, described), "c")
    plain = loaded(tmp_path, plan, described, content).state_dict()
    content["network_weights"] = {f"module._orig_mod.{name}": w for name, w in content["network_weights"].items()}
    wrapped = loaded(tmp_path, plan, described, content).state_dict()
    assert wrapped.keys() == plain.keys()
    assert all(torch.equal(wrapped[name], weights) for name, weights in plain.items())


def test_what_a_checkpoint_says(tmp_path):
    plan, described = models.configuration(), models.description()
    content = models.checkpoint(models.peer(plan, described), "3d_fullres", axes=(1, 2))
    found = read_checkpoint(saved(tmp_path, content))
    assert (found.configuration, found.trainer, found.mirror_axes, found.epochs) == (
        "3d_fullres",
        "nnUNetTrainer",
        (1, 2),
        7,
    )
    content = models.checkpoint(models.peer(plan, described), "3d_fullres", axes=None, current_epoch="late")
    found = read_checkpoint(saved(tmp_path, content))
    assert (found.mirror_axes, found.epochs) == ((), 1000)


@pytest.mark.parametrize(
    ("change", "odd"),
    [
        (lambda weights: weights.pop("decoder.seg_layers.1.weight"), "decoder.seg_layers.1.weight"),
        (
            lambda weights: weights.update({"encoder.stages.0.0.convs.0.norm.running_mean": torch.zeros(4)}),
            "running_mean",
        ),
        (
            lambda weights: weights.update({"encoder.stages.0.0.convs.0.conv.weight": torch.zeros(4, 1, 5, 5, 5)}),
            "conv",
        ),
        (
            lambda weights: weights.update({"decoder.seg_layers.1.bias": torch.zeros(3, dtype=torch.int64)}),
            "seg_layers",
        ),
    ],
)
def test_weights_of_another_network(tmp_path, change, odd):
    plan, described = models.configuration(), models.description()
    content = models.checkpoint(models.peer(plan, described), "c")
    change(content["network_weights"])
    with pytest.raises(BundleError, match=f"weights are not those of the network that plans.json describes .*{odd}"):
        loaded(tmp_path, plan, described, content)


@pytest.mark.parametrize("content", [[1, 2], {"network_weights": 3}, {"network_weights": {}, "init_args": {}}])
def test_files_that_are_no_checkpoints(tmp_path, content):
    with pytest.raises(BundleError, match=r"fold_0/checkpoint_final\.pth is no checkpoint of nnU-Net"):
        read_checkpoint(saved(tmp_path, content))


def test_axes_that_are_none(tmp_path):
    content = models.checkpoint(models.peer(models.configuration(), models.description()), "c", axes=(0, 7))
    with pytest.raises(BundleError, match="inference_allowed_mirroring_axes is no list of axes"):
        read_checkpoint(saved(tmp_path, content))


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("place", ["init_args", "logging", "network_weights"])
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    content = models.checkpoint(models.peer(models.configuration(), models.description()), "c")
    content[place] = {"configuration": "c", "harm": Harm()}
    with pytest.raises(BundleError, match=r"checkpoint_final\.pth is missing or damaged, or holds more than tensors"):
        read_checkpoint(saved(tmp_path, content))
    (tmp_path / "fold_0" / "checkpoint_final.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(BundleError, match="is missing or damaged, or holds more than tensors"):
        read_checkpoint(tmp_path / "fold_0" / "checkpoint_final.pth")
    assert not (tmp_path / "harmed").exists()


def test_weights_that_repeat_one_number_take_no_memory(tmp_path):
    """A view that repeats one number has any shape, in a file of a few bytes."""
    plan, described = models.configuration(3, channels=1), models.description(("T1",))
    content = models.checkpoint(models.peer(plan, described), "c", range(3))
    weights = content["network_weights"]
    content["network_weights"] = {name: torch.zeros(1).expand(one.shape) for name, one in weights.items()}
    with pytest.raises(BundleError, match="the weights are not those of the network"):
        loaded(tmp_path, plan, described, content)
