"""The whole of a training in two processes, in one, and in one that adds up its batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ball_cases import CASES, write_balls
from factories import run_config
from safetensors.torch import load_file

from medseg.config.load import dump_config

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
    return write_balls(tmp_path / "cases", CASES[:4])


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
