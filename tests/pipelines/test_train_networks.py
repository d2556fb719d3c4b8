"""medseg train with other networks than the U-Net."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from factories import ball, run_config
from network_sections import tiny

from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.io.formats import write_label_map, write_volume
from medseg.networks.build import count_parameters
from medseg.pipelines.train import train


class Notes:
    """Progress that remembers what it was told to say."""

    start = advance = finish = lambda *_: None

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.fixture
def cases(tmp_path) -> Path:
    folder = tmp_path / "cases"
    for number in range(2):
        grid = Geometry.from_spacing((16, 16, 16))
        labels = ball(grid.shape, (5, 6 + number, 7), 4).astype(np.uint8)
        labels[ball(grid.shape, (11, 10, 9), 3)] = 2
        write_volume(folder / "images" / f"c{number}.nii.gz", Volume(100 * labels[None].astype(np.float32), grid))
        write_label_map(folder / "labels" / f"c{number}.nii.gz", LabelMap(labels, grid))
    (folder / "labels.json").write_text('{"one": 1, "two": 2}')
    return folder


@pytest.mark.filterwarnings("ignore")  # MONAI's own imports warn
@pytest.mark.parametrize(("name", "dims"), [("resenc", 3), ("deeplab", 2), ("mednext", 3), ("attention_unet", 2)])
def test_a_network_is_trained_and_its_cost_told_first(cases, tmp_path, name, dims):
    notes = Notes()
    sampling = {"patch": (16, 16, 16 if dims == 3 else 1), "batch": 2}
    data = {"folder": str(cases), "split": {"validation": 0.5}}
    training = {"budget": {"epochs": 1, "steps": 2}, "precision": "auto"}
    config = run_config(dims, network=tiny(name, dims), sampling=sampling, data=data, training=training)
    result = train(config, tmp_path / "run", progress=notes)
    network = read_bundle(result.bundle).members[0].network
    told = [
        re.match(r"(\S+) million parameters, \S+ GMACs \(\S+ GFLOPs\) a patch on cpu", text) for text in notes.texts
    ]
    (cost,) = filter(None, told)
    assert float(cost.group(1)) == pytest.approx(count_parameters(network) / 1e6, rel=0.01)
