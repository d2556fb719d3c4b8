"""What a run shows: lines for people, scalars and pictures for TensorBoard."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medseg.training.callbacks import EpochReport, ProgressDisplay, TensorBoardWriter, ValidationReport

EPOCH = EpochReport(epoch=5, step=250, loss=0.25, lr=0.001, left_s=600)
GOOD = ValidationReport(5, {"liver": 0.9, "cyst": math.nan}, 0.9, lambda: np.zeros((4, 6, 3), np.uint8))
NOTHING = ValidationReport(10, {"liver": math.nan, "cyst": math.nan}, math.nan, None)


class Lines:
    def __init__(self):
        self.notes, self.done = [], 0

    def start(self, label, total):
        self.total = total

    def advance(self, steps=1):
        self.done += steps

    def note(self, text):
        self.notes.append(text)

    def finish(self):
        pass


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (GOOD, "epoch 5  loss 0.250  Dice 0.900  (liver 0.900  cyst nan)  10 min left"),
        (NOTHING, "epoch 5  loss 0.250  no Dice  10 min left"),
    ],
)
def test_a_validation_is_a_line_with_dice_by_structure_and_the_time_left(report, line):
    lines = Lines()
    display = ProgressDisplay(lines)
    display.on_epoch(EPOCH)
    display.on_validation(report)
    assert lines.notes == [line]


def test_the_bar_follows_the_budget():
    lines = Lines()
    display = ProgressDisplay(lines)
    for progress in (0.0, 0.25, 0.2501, 1.0):
        display.on_step(progress)
    assert lines.done == lines.total


@pytest.mark.filterwarnings("ignore")  # tensorboard's own imports warn
def test_tensorboard_gets_scalars_and_a_picture_each_validation(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = TensorBoardWriter(tmp_path)
    writer.on_epoch(EPOCH)
    writer.on_validation(GOOD)
    writer.on_validation(NOTHING)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["dice/liver", "dice/mean", "learning_rate", "loss"]
    assert [(one.step, one.value) for one in events.Scalars("dice/mean")] == [(5, pytest.approx(0.9))]
    assert [one.step for one in events.Images("overlay")] == [5]
