"""From a configuration's wish for balance to what a training does."""

from __future__ import annotations

import numpy as np
import pytest
from ball_cases import small_config, write_case
from factories import ball
from notes import Notes

from medseg.config.sections import RunConfig
from medseg.inference.bundle import read_bundle
from medseg.pipelines.train import train


@pytest.fixture
def folder(tmp_path):
    """Three images of a ball with a small bright one inside, which one of them lacks."""
    rng = np.random.default_rng(0)
    for number in range(3):
        labels = np.zeros((20, 20, 20), np.uint8)
        labels[ball(labels.shape, (9, 10, 10), 6)] = 1
        if number:
            labels[ball(labels.shape, rng.uniform(8, 12, 3), 1.8)] = 2
        write_case(tmp_path / "cases", f"c{number}", labels, rng)
    (tmp_path / "cases/labels.json").write_text('{"organ": 1, "lesion": 2}')
    return tmp_path / "cases"


def config(folder, loss="dice_ce", sampling=None, **training) -> RunConfig:
    return small_config(
        folder,
        epochs=1,
        labels={"structures": [{"name": "organ", "value": 1}, {"name": "lesion", "value": 2}]},
        data={"folder": str(folder), "split": {"validation": 0.0}},
        loss={"name": loss},
        sampling={"patch": (16, 16, 16), "batch": 2} | (sampling or {}),
        training=training,
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
