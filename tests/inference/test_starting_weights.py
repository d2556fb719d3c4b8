from __future__ import annotations

import pytest
import torch
from factories import bundle, run_config

from medseg.core.errors import BundleError
from medseg.inference.bundle import Bundle, BundleRecords, Member, write_bundle
from medseg.inference.network import network_of
from medseg.inference.starting_weights import input_names, read_starting_weights, write_pretrained


def pretrained(folder, **changes):
    config = run_config(**changes)
    write_pretrained(folder, config, network_of(config, len(config.channels)), {"images": 3})
    return folder


def test_a_pretraining_is_read_as_it_was_written(tmp_path):
    config = run_config()
    network = network_of(config, 1)
    write_pretrained(tmp_path / "pre", config, network, {})
    start = read_starting_weights(tmp_path / "pre")
    assert all(torch.equal(start.weights[name], tensor) for name, tensor in network.state_dict().items())
    assert (start.network, start.inputs, start.outputs) == ("unet", ("image",), ())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pretrained.safetensors", b"\x00" * 40, "pretrained.safetensors is missing or damaged"),
        ("config.yaml", b"name: x", "the configuration of the pretraining cannot be read"),
    ],
)
def test_a_damaged_part_of_a_pretraining_is_named(tmp_path, name, content, message):
    (pretrained(tmp_path / "pre") / name).write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_starting_weights(tmp_path / "pre")


def test_of_several_networks_the_first_counts(tmp_path):
    one, other = bundle(), bundle()
    first, second = one.members[0], other.members[0]
    both = Bundle((first, Member(second.config, second.network)), one.scheme, one.facts)
    write_bundle(tmp_path / "bundle", both, BundleRecords({}, {}))
    found, wanted = read_starting_weights(tmp_path / "bundle").weights, first.network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_masks_of_optional_channels_come_after_the_image():
    config = run_config(channels=[{"name": "a", "optional": True}, {"name": "b"}])
    assert input_names(config) == ("a", "b", "presence of a")
    assert network_of(config, 2).state_dict()["encoder.0.0.weight"].shape[1] == 3
