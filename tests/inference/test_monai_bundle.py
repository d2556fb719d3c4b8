from __future__ import annotations

import json
import os
import zipfile

import pytest
import torch
from monai_bundles import monai_bundle, segresnet, write_configs
from safetensors.torch import save_file

from medseg.core.errors import BundleError
from medseg.inference.monai_bundle import MonaiNetwork, is_monai_bundle, read_monai_network, read_monai_weights
from medseg.inference.monai_section import monai_section
from medseg.networks.build import build_network


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_the_weights_are_those_of_monais_network(tmp_path):
    network = segresnet()
    monai_bundle(tmp_path, network)
    assert is_monai_bundle(tmp_path)
    found, true = read_monai_weights(tmp_path), network.state_dict()
    assert found.keys() == true.keys()
    assert all(torch.equal(found[name], true[name]) for name in true)


@pytest.mark.parametrize("wrap", [lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": {"state_dict": s}}])
def test_weights_inside_a_checkpoint_are_found(tmp_path, wrap):
    network = segresnet()
    monai_bundle(tmp_path, network)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(wrap(state), tmp_path / "models" / "model.pt")
    assert read_monai_weights(tmp_path).keys() == network.state_dict().keys()


def test_safetensors_come_first(tmp_path):
    monai_bundle(tmp_path, segresnet())
    save_file({"only": torch.ones(2)}, tmp_path / "models" / "model.safetensors")
    assert [*read_monai_weights(tmp_path)] == ["only"]


def test_what_the_configuration_says_is_read_as_data(tmp_path):
    monai_bundle(tmp_path, segresnet(), channels=("T1", "T2"), outputs=("background", "tumour"))
    found = read_monai_network(tmp_path)
    assert (found.target, found.channels, found.outputs) == ("SegResNet", ("T1", "T2"), ("background", "tumour"))
    assert found.argument("init_filters", 8) == 8
    assert found.argument("out_channels", 2) == 2  # a reference, followed


def test_the_section_builds_the_same_network(tmp_path):
    from monai.networks.nets import SegResNet, SwinUNETR

    for target, theirs, arguments in (
        (
            "SegResNet",
            SegResNet,
            {"spatial_dims": 2, "init_filters": 16, "blocks_down": [1, 2, 2]} | {"blocks_up": [1, 1]},
        ),
        ("SwinUNETR", SwinUNETR, {"spatial_dims": 2, "feature_size": 12, "in_channels": 1, "out_channels": 2}),
    ):
        section = monai_section(MonaiNetwork(target, arguments))
        ours = build_network(section, 1, 2).state_dict()
        shapes = {name: tensor.shape for name, tensor in theirs(**arguments).state_dict().items()}
        assert {name: tensor.shape for name, tensor in ours.items()} == shapes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_filters": "$__import__('os').system('touch pwned')"}, "network_def.init_filters .* is an expression"),
        ({"blocks_down": [1, "$1 + 1", 2, 4]}, "network_def.blocks_down .* is an expression"),
        ({"init_filters": "@nowhere"}, "cannot be built here: features"),
        ({"upsample_mode": "deconv"}, "has an argument 'upsample_mode' that makes it another network"),
        ({"init_filters": 12}, "cannot be built here: .*multiple of 8"),
    ],
)
def test_a_network_that_cannot_be_taken_over_is_refused(tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    monai_bundle(tmp_path / "bundle", segresnet(), **changes)
    with pytest.raises(BundleError, match=message):
        monai_section(read_monai_network(tmp_path / "bundle"))
    assert not (tmp_path / "pwned").exists()


def test_a_class_that_no_section_builds_is_refused():
    with pytest.raises(BundleError, match="network is a VNet; .* are SegResNet, SwinUNETR"):
        monai_section(MonaiNetwork("VNet", {}))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"network_def": "$import_it()"}, "no plain description"),
        ({"network_def": {"_target_": "$whatever"}}, "names its class by an expression"),
        ({"network_def": "@network_def"}, "no plain description"),
        ({}, "no plain description"),
        ([1, 2], "damaged"),
    ],
)
def test_a_network_that_is_not_described_is_refused(tmp_path, tree, message):
    monai_bundle(tmp_path, segresnet())
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(tree))
    with pytest.raises(BundleError, match=message):
        read_monai_network(tmp_path)


def test_code_in_the_weights_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monai_bundle(tmp_path, segresnet())
    torch.save({"weight": torch.ones(1), "evil": Evil()}, tmp_path / "models" / "model.pt")
    with pytest.raises(BundleError, match="model.pt is missing or damaged, or holds more than tensors"):
        read_monai_weights(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_weights_that_unfold_into_more_are_refused(tmp_path):
    monai_bundle(tmp_path, segresnet())
    path = tmp_path / "models" / "model.pt"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "small", "w", zipfile.ZIP_DEFLATED) as small:
        for name in whole.namelist():
            small.writestr(name, whole.read(name))
    (tmp_path / "small").replace(path)
    with pytest.raises(BundleError, match="model.pt is missing or damaged"):
        read_monai_weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", b"\x80\x02.", b"\x80\x02N."])
def test_damaged_weights_are_one_sentence(tmp_path, content):
    monai_bundle(tmp_path, segresnet())
    (tmp_path / "models" / "model.pt").write_bytes(content)
    with pytest.raises(BundleError, match="model.pt (is missing or damaged|holds no named weights)"):
        read_monai_weights(tmp_path)


def test_yaml_is_read_too(tmp_path):
    monai_bundle(tmp_path, segresnet())
    (tmp_path / "configs" / "inference.json").unlink()
    (tmp_path / "configs" / "inference.yaml").write_text("network_def: {_target_: SegResNet, init_filters: 8}")
    assert read_monai_network(tmp_path).target == "SegResNet"


def test_a_folder_that_is_no_monai_bundle(tmp_path):
    assert not is_monai_bundle(tmp_path)
    write_configs(tmp_path, {})
    assert not is_monai_bundle(tmp_path)
    with pytest.raises(BundleError, match="holds none of models/model.safetensors"):
        read_monai_weights(tmp_path)
