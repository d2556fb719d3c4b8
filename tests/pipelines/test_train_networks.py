"""medseg train with other networks than the U-Net."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ball_cases import CASES, small_config, write_balls
from network_sections import tiny
from notes import Notes

from medseg.inference.bundle import read_bundle
from medseg.networks.build import count_parameters
from medseg.pipelines.train import train


@pytest.fixture
def cases(tmp_path) -> Path:
    return write_balls(tmp_path / "cases", CASES[:2])


@pytest.mark.filterwarnings("ignore")  # MONAI's own imports warn
@pytest.mark.parametrize(("name", "dims"), [("resenc", 3), ("deeplab", 2), ("mednext", 3), ("attention_unet", 2)])
def test_a_network_is_trained_and_its_cost_told_first(cases, tmp_path, name, dims):
    notes = Notes()
    sampling = {"patch": (16, 16, 16 if dims == 3 else 1), "batch": 2}
    changes = {"network": tiny(name, dims), "sampling": sampling, "training": {"precision": "auto"}}
    config = small_config(cases, dims=dims, epochs=1, steps=2, **changes)
    result = train(config, tmp_path / "run", progress=notes)
    network = read_bundle(result.bundle).members[0].network
    told = [
        re.match(r"(\S+) million parameters, \S+ GMACs \(\S+ GFLOPs\) a patch on cpu", text) for text in notes.texts
    ]
    (cost,) = filter(None, told)
    assert float(cost.group(1)) == pytest.approx(count_parameters(network) / 1e6, rel=0.01)
