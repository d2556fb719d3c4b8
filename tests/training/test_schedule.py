from __future__ import annotations

import numpy as np
import pytest

from medseg.config.training import BudgetSection, OptimizerSection
from medseg.training import schedule
from medseg.training.schedule import VALIDATIONS, Clock, learning_rate, validation_is_due


def test_the_rate_rises_peaks_and_falls_to_zero():
    section = OptimizerSection(lr=0.01, warmup=0.1)
    assert learning_rate(section, 0.05) == pytest.approx(0.005)
    assert learning_rate(section, 0.1) == pytest.approx(0.01)
    assert learning_rate(section, 0.55) == pytest.approx(0.005)
    assert learning_rate(section, 1.0) == pytest.approx(0.0)
    assert learning_rate(section, 0.0) > 0


def test_polynomial_decay_is_nnunets():
    section = OptimizerSection(lr=0.01, warmup=0.0, decay="poly")
    for epoch in (0, 250, 999):
        assert learning_rate(section, epoch / 1000) == pytest.approx(0.01 * (1 - epoch / 1000) ** 0.9)


def test_an_epoch_budget_counts_steps():
    clock = Clock(BudgetSection(epochs=10, steps=5))
    assert [clock.progress(step) for step in (0, 25, 50, 70)] == [0, 0.5, 1, 1]


def test_a_time_budget_counts_the_time_before_a_resume(monkeypatch):
    now = 100.0
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now)
    clock = Clock(BudgetSection(minutes=2), elapsed_s=30)
    assert clock.progress(0) == pytest.approx(0.25)
    now = 160.0
    assert clock.progress(0) == pytest.approx(0.75)
    assert clock.left_s(0) == pytest.approx(30)


def test_time_left_of_an_epoch_budget_follows_the_pace(monkeypatch):
    now = 0.0
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now)
    clock = Clock(BudgetSection(epochs=4, steps=10))
    assert clock.left_s(0) == float("inf")
    now = 60.0
    assert clock.left_s(10) == pytest.approx(180)


@pytest.mark.parametrize("epochs", [5, 12, 100, 1000])
def test_validations_are_spread_over_the_budget(epochs: int):
    due = [
        epoch for epoch in range(1, epochs + 1) if validation_is_due(None, epoch, (epoch - 1) / epochs, epoch / epochs)
    ]
    assert len(due) == min(epochs, VALIDATIONS)
    assert due[-1] == epochs
    assert np.ptp(np.diff(due)) <= 1


def test_validations_can_be_asked_for_by_the_epoch():
    due = [epoch for epoch in range(1, 9) if validation_is_due(3, epoch, (epoch - 1) / 8, epoch / 8)]
    assert due == [3, 6, 8]


def test_validations_that_take_more_than_a_tenth_of_the_time_are_left_out():
    assert not validation_is_due(None, 6, 0.45, 0.55, share=0.11)
    assert validation_is_due(None, 6, 0.45, 0.55, share=0.1)
    assert validation_is_due(None, 6, 0.95, 1.0, share=0.9)
    assert validation_is_due(3, 6, 0.45, 0.55, share=0.9)
