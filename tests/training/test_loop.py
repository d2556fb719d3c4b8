from __future__ import annotations

import math
import resource
import time

import pytest
import torch
from factories import full_disk, run_config
from small_run import Batches, report, weights
from torch import nn

from medseg.core.errors import OutputError, TrainingError
from medseg.training.callbacks import EpochReport, RunReport, ValidationReport
from medseg.training.distributed import Process
from medseg.training.ema import AveragedNetwork
from medseg.training.loop import Ingredients, Trainer
from medseg.training.state import TrainState, read_checkpoint

CPU = Process(0, 1, torch.device("cpu"))


class Witness:
    def __init__(self):
        self.epochs: list[EpochReport] = []
        self.validations: list[ValidationReport] = []
        self.progress: list[float] = []
        self.ends: list[RunReport] = []

    def on_step(self, progress):
        self.progress.append(progress)

    def on_epoch(self, report):
        self.epochs.append(report)

    def on_validation(self, report):
        self.validations.append(report)

    def on_end(self, report):
        self.ends.append(report)


def new_state() -> TrainState:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    return TrainState(network, optimizer, torch.amp.GradScaler("cpu", enabled=False), AveragedNetwork(network, 0.9))


def trainer(folder, loss=None, validate=None, witness=None, **training) -> Trainer:
    section = run_config(training={"budget": {"epochs": 4, "steps": 3}, "validate_every": 2} | training).training
    parts = Ingredients(Batches(), loss or nn.MSELoss(), validate or (lambda _: report(0.5)), [witness or Witness()])
    return Trainer(CPU, section, parts, folder)


def test_a_run_ends_with_its_budget(tmp_path):
    witness = Witness()
    state = trainer(tmp_path, witness=witness).fit(new_state())
    assert (state.epoch, state.step) == (4, 12)
    assert [one.epoch for one in witness.epochs] == [1, 2, 3, 4]
    assert len(witness.validations) == 2
    assert witness.progress == pytest.approx([n / 12 for n in range(12)])
    assert not torch.equal(weights(state), weights(new_state()))


def test_a_resumed_run_is_the_same_bit_by_bit(tmp_path):
    whole = trainer(tmp_path / "whole").fit(new_state())
    # Four epochs are planned, and the run dies after the second.
    dying = trainer(tmp_path / "cut", validate=_dies_on(2, report(0.5)))
    with pytest.raises(KeyboardInterrupt):
        dying.fit(new_state())
    resumed = new_state()
    resumed.restore(read_checkpoint(tmp_path / "cut" / "last.pt"))
    assert resumed.epoch == 3
    trainer(tmp_path / "cut").fit(resumed)
    assert torch.equal(weights(whole), weights(resumed))
    assert torch.equal(*(nn.utils.parameters_to_vector(s.average.network.parameters()) for s in (whole, resumed)))


def _dies_on(call, good):
    calls = []

    def validate(_network):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return good

    return validate


def test_the_best_averaged_weights_are_kept(tmp_path):
    scores = iter([0.7, 0.6])
    trainer(tmp_path, validate=lambda _: report(next(scores))).fit(new_state())
    best = read_checkpoint(tmp_path / "best.pt")
    assert best["dice"] == {"one": 0.7}
    assert best["epoch"] == 2


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    state = trainer(tmp_path, patience=1, validate_every=1, budget={"epochs": 50, "steps": 3}).fit(new_state())
    assert state.epoch == 2


def test_slow_validations_are_few_where_the_budget_is_in_minutes(tmp_path, monkeypatch):
    now = [0.0]
    for clock in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, lambda: now[0])

    class Second(nn.MSELoss):
        def forward(self, logits, target):
            now[0] += 1
            return super().forward(logits, target)

    def validate(_network):
        now[0] += 60
        return report(0.5)

    witness = Witness()
    minutes = {"budget": {"minutes": 20, "steps": 3}, "validate_every": None}
    trainer(tmp_path, Second(), validate, witness, **minutes).fit(new_state())
    assert len(witness.validations) == 3  # the first, one once that is a tenth of the time, the last; else twelve


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    class Broken(nn.Module):
        def forward(self, logits, target):
            return logits.sum() * math.nan

    with pytest.raises(TrainingError, match="step 0 is nan; its patches came from the cases c0, c1, c2, c3: look"):
        trainer(tmp_path, loss=Broken()).fit(new_state())
    assert not (tmp_path / "last.pt").exists()


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so(tmp_path):
    class Filled(Witness):
        def on_epoch(self, report):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    with (
        full_disk(10_000_000),
        pytest.raises(OutputError, match=r"cannot write 'best\.pt': .* last\.pt of the epoch before is whole"),
    ):
        trainer(tmp_path, witness=Filled()).fit(new_state())
    left = read_checkpoint(tmp_path / "last.pt")
    assert left["counters"]["epoch"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_the_time_is_told_by_what_it_went_to(tmp_path):
    witness = Witness()
    trainer(tmp_path, witness=witness).fit(new_state())
    (end,) = witness.ends
    assert (end.epoch, end.step) == (4, 12)
    assert end.spent.network > 0
    assert end.spent.checkpoints == pytest.approx(sum(one.spent.checkpoints for one in witness.epochs))
    assert "bottleneck" in end.bottleneck
    assert all(0 < one.gradient < 1e3 for one in witness.epochs)


def test_a_run_with_nothing_left_to_do_blames_nobody(tmp_path):
    witness = Witness()
    state = trainer(tmp_path).fit(new_state())
    trainer(tmp_path, witness=witness).fit(state)
    assert witness.ends[0].bottleneck == ""


def test_a_time_budget_ends_inside_an_epoch(tmp_path, monkeypatch):
    from medseg.training import schedule

    ticks = iter(range(1000))
    monkeypatch.setattr(schedule.time, "monotonic", lambda: float(next(ticks)))
    state = trainer(tmp_path, budget={"minutes": 10 / 60, "steps": 1000}).fit(new_state())
    assert 0 < state.step < 12
    assert state.epoch >= 1


def test_validations_are_told_by_epoch(tmp_path):
    witness = Witness()
    trainer(tmp_path, witness=witness).fit(new_state())
    assert [one.epoch for one in witness.validations] == [2, 4]


def test_without_a_dice_no_weights_are_best_and_patience_does_not_run_out(tmp_path):
    state = trainer(tmp_path, validate=lambda _: report(math.nan), patience=1, validate_every=1).fit(new_state())
    assert state.epoch == 4
    assert not (tmp_path / "best.pt").exists()
    assert (tmp_path / "last.pt").exists()
