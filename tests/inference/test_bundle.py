from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from factories import bundle, full_disk, geometry, run_config
from torch import nn

from medseg.config.load import dump_config
from medseg.core.errors import BundleError, OutputError
from medseg.inference.bundle import BundleRecords, TrainingFacts, output_channels, read_bundle, write_bundle
from medseg.inference.bundle_files import load_weights, write_weights

RECORDS = BundleRecords({"train": ["a"], "validation": [], "test": []}, {"summary": []})


def test_a_bundle_is_the_same_model_wherever_it_is_opened(tmp_path):
    model = bundle()
    write_bundle(tmp_path / "bundle", model, RECORDS)
    (tmp_path / "bundle").rename(tmp_path / "elsewhere")
    again = read_bundle(tmp_path / "elsewhere")
    assert (again.scheme, again.facts) == (model.scheme, model.facts)
    assert again.config.model_dump(exclude={"data"}) == model.config.model_dump(exclude={"data"})
    image = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(again.members[0].network(image), model.members[0].network(image))
    assert not again.members[0].network.training


def test_a_bundle_says_what_made_it(tmp_path):
    write_bundle(tmp_path / "bundle", bundle(), RECORDS)
    assert json.loads((tmp_path / "bundle" / "versions.json").read_text())["torch"] == torch.__version__
    assert json.loads((tmp_path / "bundle" / "split.json").read_text())["train"] == ["a"]


def test_facts_are_measured_along_right_anterior_superior():
    grids = [geometry(codes=codes, shape=(10, 20, 30), spacing=(1.0, 2.0, 3.0)) for codes in ("RAS", "SPL")]
    facts = TrainingFacts.from_grids(("CT",), grids)
    assert facts.spacing_min == facts.spacing_max == pytest.approx((1, 2, 3))
    assert facts.extent_max_mm == pytest.approx((10, 40, 90))


def test_overlapping_targets_need_no_background_channel():
    assert output_channels(bundle().scheme) == 3
    labels = {"structures": [{"name": "a", "value": 1}], "overlapping": True}
    assert output_channels(bundle(labels=labels).scheme) == 1


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"is no bundle: it needs config.yaml and model.safetensors"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"\x00" * 40, "model.safetensors is damaged"),
        ("facts.json", b"{}", "facts cannot be read"),
        ("config.yaml", b"name: x", "configuration or facts cannot be read"),
    ],
)
def test_a_damaged_part_is_named(tmp_path, name, content, message):
    write_bundle(tmp_path / "bundle", bundle(), RECORDS)
    (tmp_path / "bundle" / name).write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_bundle(tmp_path / "bundle")


def test_a_weight_of_two_names_is_written_under_both(tmp_path):
    network = nn.Sequential(nn.Linear(2, 2))
    network.register_module("again", network[0])
    write_weights(tmp_path / "weights", network)
    found = safetensors.torch.load_file(tmp_path / "weights")
    assert sorted(found) == ["0.bias", "0.weight", "again.bias", "again.weight"]
    assert torch.equal(found["0.weight"], found["again.weight"])
    load_weights(network, tmp_path / "weights", "weights")


def test_weights_of_another_network_are_refused(tmp_path):
    write_bundle(tmp_path / "bundle", bundle(), RECORDS)
    safetensors.torch.save_file({"encoder": torch.zeros(3)}, tmp_path / "bundle" / "model.safetensors")
    with pytest.raises(BundleError, match="weights belong to another network"):
        read_bundle(tmp_path / "bundle")


def test_a_network_that_is_larger_than_any_memory_is_never_made(tmp_path):
    write_bundle(tmp_path / "bundle", bundle(), RECORDS)
    network = {"name": "unet", "dims": 3, "features": (200_000, 200_000), "kernels": ((3, 3, 3),) * 2}
    config = run_config(network=network | {"strides": ((1, 1, 1), (2, 2, 2))})
    (tmp_path / "bundle" / "config.yaml").write_text(dump_config(config))
    with pytest.raises(BundleError, match="weights belong to another network"):
        read_bundle(tmp_path / "bundle")


def test_a_full_disk_leaves_the_bundle_before(tmp_path):
    write_bundle(tmp_path / "bundle", bundle(), RECORDS)
    with pytest.raises(OutputError, match="cannot write 'bundle': .*nothing half-written"), full_disk(5_000):
        write_bundle(tmp_path / "bundle", bundle(structures=("another",)), RECORDS)
    assert read_bundle(tmp_path / "bundle").scheme.names == ("one", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_does_not_say_where_its_data_lay(tmp_path):
    data = {"folder": "/clinic/Jane Doe", "split": {"file": "/clinic/split.json", "seed": 7}}
    write_bundle(tmp_path / "bundle", bundle(data=data), RECORDS)
    assert b"clinic" not in b"".join(file.read_bytes() for file in (tmp_path / "bundle").iterdir())
    assert read_bundle(tmp_path / "bundle").config.data.split.seed == 7
