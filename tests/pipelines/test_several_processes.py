"""The whole of a training in two processes, in one, and in one that adds up its batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import ball, run_config
from safetensors.torch import load_file

from medseg.config.load import dump_config
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map, write_volume

# Cross-entropy is a mean over patches; a Dice over the batch is not.
SCRIPT = """
import sys
from pathlib import Path
import medseg
from medseg.losses.cross_entropy import CrossEntropyLoss
from medseg.losses.deep_supervision import DeepSupervisionLoss

loss = DeepSupervisionLoss(CrossEntropyLoss(None, exclusive=True))
medseg.train(medseg.load_config(Path(sys.argv[1])), Path(sys.argv[2]), parts=medseg.OwnParts(loss=loss))
"""


@pytest.fixture
def cases(tmp_path) -> Path:
    folder, rng = tmp_path / "cases", np.random.default_rng(0)
    for number in range(4):
        grid = Geometry.from_spacing((20, 20, 20))
        labels = np.zeros(grid.shape, np.uint8)
        labels[ball(grid.shape, rng.uniform(5, 7, 3), 4.5)] = 1
        labels[ball(grid.shape, rng.uniform(12, 14, 3), 4.0)] = 2
        image = np.array([0.0, 100.0, 200.0])[labels] + rng.normal(0, 15, grid.shape)
        write_volume(folder / "images" / f"c{number}.nii.gz", Volume(image[None].astype(np.float32), grid))
        write_label_map(folder / "labels" / f"c{number}.nii.gz", LabelMap(labels, grid))
    (folder / "labels.json").write_text('{"one": 1, "two": 2}')
    return folder


@pytest.mark.slow
def test_the_same_patches_a_step_give_the_same_weights(cases, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)

    def weights(name: str, launcher: list[str], batch: int, accumulate: int) -> dict[str, torch.Tensor]:
        training = {"budget": {"epochs": 3, "steps": 4}, "precision": "fp32", "accumulate": accumulate}
        data = {"folder": str(cases), "split": {"validation": 0.25}}
        sampling = {"patch": (16, 16, 16), "batch": batch}
        (tmp_path / f"{name}.yaml").write_text(dump_config(run_config(data=data, training=training, sampling=sampling)))
        command = [sys.executable, *launcher, tmp_path / "script.py", tmp_path / f"{name}.yaml", tmp_path / name]
        subprocess.run(command, check=True, capture_output=True)
        return load_file(tmp_path / name / "bundle" / "model.safetensors")

    one = weights("one", [], batch=4, accumulate=1)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = weights("two", torchrun, batch=2, accumulate=1)
    added = weights("added", [], batch=2, accumulate=2)
    both = weights("both", torchrun, batch=1, accumulate=2)
    for other in (two, added, both):
        assert other.keys() == one.keys()
        for name, weight in one.items():
            torch.testing.assert_close(other[name], weight, rtol=1e-3, atol=1e-4)
