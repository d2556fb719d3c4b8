"""Where the time goes."""

from __future__ import annotations

import re

import pytest
import torch

from medseg.training import stopwatch
from medseg.training.stopwatch import NOTHING_SPENT, Crew, Spent, Stopwatch, bottleneck


class Clock:
    """Time that passes only when it is told to; half of it is computed."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def process_time(self):
        return self.now / 2


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def test_seconds_go_to_what_they_were_spent_on(clock):
    def batches():
        for number in range(3):
            clock.now += 1
            yield number

    watch = Stopwatch(torch.device("cpu"))
    for _ in watch.waits(batches()):
        with watch.step():
            clock.now += 5
        clock.now += 10  # a callback
    with watch.validation():
        clock.now += 7
    with watch.checkpoint():
        clock.now += 2
    spent = watch.lap(steps_s=48)
    assert spent == Spent(network=15, data=3, validation=7, checkpoints=2, drawing=1.5)
    assert spent.shares() == "network 56 %, data 11 %, validation 26 %, checkpoints 7 %"
    assert watch.lap(0) == NOTHING_SPENT


def test_laps_add_up():
    assert Spent(1, 2, 3, 4, 5) + Spent(1, 1, 1, 1, 1) == Spent(2, 3, 4, 5, 6)
    assert NOTHING_SPENT.shares() == ""
    assert bottleneck(NOTHING_SPENT, Crew("cpu", 0, 1)) == ""


@pytest.mark.parametrize(
    ("spent", "crew", "verdict"),
    [
        (Spent(90, 5), Crew("cuda", 4, 8), "the network is the bottleneck, as it should be"),
        (Spent(90, 5), Crew("cpu", 0, 2), "the network is the bottleneck, on the CPU"),
        (Spent(50, 50, drawing=49), Crew("cuda", 0, 8), "the CPU is the bottleneck .* try training.workers=7"),
        (Spent(50, 50), Crew("cuda", 3, 8), "the CPU is the bottleneck .* try training.workers=7"),
        (Spent(50, 50), Crew("cuda", 7, 8), "the CPU is the bottleneck .* try less augmentation"),
        (Spent(50, 50, drawing=49), Crew("cpu", 0, 8), "the CPU is the bottleneck .* try less augmentation"),
        (Spent(50, 50, drawing=5), Crew("cuda", 0, 8), "data is the bottleneck, read from a slow disk"),
        (
            Spent(50, 1, 60),
            Crew("cuda", 4, 8),
            "validation is the bottleneck: try fewer of them, by training.validate_every",
        ),
        (Spent(50, 1, 10, 20), Crew("cuda", 4, 8), "the disk is the bottleneck .* training.budget.steps"),
    ],
)
def test_what_it_was_short_of(spent, crew, verdict):
    line = bottleneck(spent, crew)
    assert line.startswith(f"network {spent.network:.0f} s, data {spent.data:.0f} s, ")
    assert re.search(verdict, line)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_timed_by_its_own_clock():
    watch, device = Stopwatch(torch.device("cuda")), torch.device("cuda")
    matrix = torch.randn(4096, 4096, device=device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    with watch.step():
        for _ in range(20):
            matrix = matrix @ matrix / 64
    end.record()
    end.synchronize()
    assert watch.lap(60).network == pytest.approx(start.elapsed_time(end) / 1000, rel=0.2)
