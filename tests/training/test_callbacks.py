"""What a run shows: lines for people, scalars and pictures for TensorBoard."""

from __future__ import annotations

import errno
import math
from dataclasses import replace

import numpy as np
import pytest

from medseg.training.callbacks import (
    Callback,
    EpochReport,
    ProgressDisplay,
    RunReport,
    TensorBoardWriter,
    ValidationReport,
)
from medseg.training.stopwatch import Spent

EPOCH = EpochReport(epoch=5, step=250, loss=0.25, lr=0.001, left_s=600)
GOOD = ValidationReport(5, {"liver": 0.9, "cyst": math.nan}, 0.9, lambda: np.zeros((4, 6, 3), np.uint8))
TIMED = EpochReport(6, 300, 0.25, 0.001, 540, gradient=1.5, spent=Spent(9, 1))
END = RunReport(6, 300, Spent(9, 1), "network 9 s, data 1 s")
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


def test_folds_to_come_are_counted_in_at_the_length_of_this_one():
    lines = Lines()
    display = ProgressDisplay(lines, to_come=2)
    display.on_step(0.5)
    display.on_epoch(EPOCH)  # ten minutes left of twenty
    display.on_validation(GOOD)
    display.on_step(0.99)
    display.on_epoch(replace(EPOCH, left_s=0))
    display.on_validation(GOOD)
    assert [line.partition("cyst nan)  ")[2] for line in lines.notes] == [
        "10 min left, 50 min for all folds", "0 s left, 40 min for all folds",
    ]  # fmt: skip


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
    writer.on_epoch(TIMED)
    writer.on_end(END)
    events = EventAccumulator(str(tmp_path)).Reload()
    seconds = [f"seconds/{part}" for part in ("checkpoints", "data", "network", "validation")]
    names = ["dice/liver", "dice/mean", "gradient_norm", "learning_rate", "loss", *seconds]
    assert sorted(events.Tags()["scalars"]) == names
    assert [(one.step, one.value) for one in events.Scalars("seconds/network")] == [(250, 0), (300, 9)]
    assert [(one.step, one.value) for one in events.Scalars("gradient_norm")] == [(300, 1.5)]
    assert [(one.step, one.value) for one in events.Scalars("dice/mean")] == [(5, pytest.approx(0.9))]
    assert [one.step for one in events.Images("overlay")] == [5]


@pytest.mark.filterwarnings("ignore")  # tensorboard's own imports warn
def test_curves_that_cannot_be_written_are_told_once_and_end_nothing(tmp_path, monkeypatch, caplog):
    writer = TensorBoardWriter(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer._writer, "add_scalar", full)
    for _ in range(2):
        writer.on_epoch(EPOCH)
        writer.on_validation(GOOD)
    writer.on_end(END)
    told = [record.message for record in caplog.records if "TensorBoard" in record.message]
    assert told == ["TensorBoard's files cannot be written (No space left on device); the run goes on without them"]


def test_a_line_says_what_the_time_since_the_line_before_went_to():
    lines = Lines()
    display = ProgressDisplay(lines)
    display.on_epoch(TIMED)
    display.on_epoch(TIMED)
    display.on_validation(NOTHING)
    display.on_validation(NOTHING)
    assert lines.notes[0].endswith("9 min left  (network 90 %, data 10 %)")
    assert lines.notes[1].endswith("9 min left")


def test_the_end_is_a_line_too():
    lines = Lines()
    display = ProgressDisplay(lines)
    display.on_end(END)
    display.on_end(RunReport(6, 300, Spent(), ""))
    assert lines.notes == ["network 9 s, data 1 s"]


def test_a_callback_of_ones_own_writes_only_what_it_needs():
    class Losses(Callback):
        def __init__(self):
            self.losses = []

        def on_epoch(self, report):
            self.losses.append(report.loss)

    mine: Callback = Losses()
    mine.on_step(0.5)
    mine.on_epoch(EPOCH)
    mine.on_validation(GOOD)
    mine.on_end(END)
    assert mine.losses == [0.25]
