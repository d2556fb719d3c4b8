"""From a configuration's wish for balance to what a training does."""

from __future__ import annotations

import numpy as np
import pytest
from factories import ball, run_config

from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.inference.bundle import read_bundle
from medseg.io.formats import write_label_map, write_volume
from medseg.pipelines.train import train


class Notes:
    """Progress that remembers what it was told to say."""

    start = advance = finish = lambda *_: None

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.fixture
def folder(tmp_path):
    """Three images of a ball with a small bright one inside, which one of them lacks."""
    rng = np.random.default_rng(0)
    for number in range(3):
        grid = Geometry.from_spacing((20, 20, 20))
        labels = np.zeros(grid.shape, np.uint8)
        labels[ball(grid.shape, (9, 10, 10), 6)] = 1
        if number:
            labels[ball(grid.shape, rng.uniform(8, 12, 3), 1.8)] = 2
        image = np.array([0.0, 100.0, 200.0])[labels] + rng.normal(0, 15, grid.shape)
        write_volume(tmp_path / "cases/images" / f"c{number}.nii.gz", Volume(image[None].astype(np.float32), grid))
        write_label_map(tmp_path / "cases/labels" / f"c{number}.nii.gz", LabelMap(labels, grid))
    (tmp_path / "cases/labels.json").write_text('{"organ": 1, "lesion": 2}')
    return tmp_path / "cases"


def config(folder, loss="dice_ce", sampling=None, **training) -> RunConfig:
    return run_config(
        structures=("organ", "lesion"),
        data={"folder": str(folder), "split": {"validation": 0.0}},
        network=run_config().network.model_dump() | {"features": (8, 16)},
        loss={"name": loss},
        sampling={"patch": (16, 16, 16), "batch": 2} | (sampling or {}),
        training={"budget": {"epochs": 1, "steps": 3}, "precision": "fp32"} | training,
        postprocessing={},
    )


def test_what_was_chosen_for_balance_is_told(folder, tmp_path):
    notes = Notes()
    changes = {"balance": "case", "structure_weights": {"lesion": 3.0}, "foreground": 0.5}
    result = train(config(folder, sampling=changes, class_weights="balanced"), tmp_path / "run", progress=notes)
    # Of three cases the first holds the organ alone; in both others the lesion is three times as likely.
    assert "patches: 50 % are centred on a structure, and of these on organ 50 %, lesion 50 %" in notes.texts
    told = next(text for text in notes.texts if text.startswith("weights in the loss: background "))
    values = [float(part.split()[-1]) for part in told.removeprefix("weights in the loss: ").split(", ")]
    assert values[0] < values[1] < values[2] <= 10.1 * values[0]
    assert read_bundle(result.bundle).config.training.class_weights == "balanced"


def test_a_loss_that_rises_trains(folder, tmp_path):
    notes = Notes()
    result = train(config(folder, "dice_boundary"), tmp_path / "run", progress=notes)
    assert read_bundle(result.bundle).config.loss.name == "dice_boundary"
    assert not any(text.startswith("weights in the loss") for text in notes.texts)
