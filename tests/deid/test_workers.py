from __future__ import annotations

import multiprocessing
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest
from worker_tasks import die_or_double, double, fail, sleep

from medseg.deid import workers
from medseg.deid.workers import Died, Work, run_all


def results(run, tasks, workers):
    steps: list[int] = []
    return dict(run_all(Work(run, steps.append), tasks, workers)), sum(steps)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_each_task_has_its_result_and_its_steps(workers):
    found, steps = results(double, [1, 2, 3, 4], workers)
    assert found == {1: 2, 2: 4, 3: 6, 4: 8}
    assert steps == 8 if workers < 2 else steps in (7, 8)


def test_a_process_that_dies_takes_no_other_task_with_it(tmp_path):
    tasks = [(number, tmp_path) for number in (1, -1, 2, -2, 3, 4)]
    found, _ = results(die_or_double, tasks, 2)
    assert {number: found[number, tmp_path] for number, _ in tasks} == {1: 2, -1: Died(), 2: 4, -2: -4, 3: 6, 4: 8}


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_task_raises_is_raised(workers):
    with pytest.raises(ValueError, match="task 1 says no"):
        results(fail, [1, 2], workers)


def test_stopping_early_ends_the_processes_at_once(tmp_path):
    before = set(multiprocessing.active_children())

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 2.5)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            results(sleep, [tmp_path / "a", tmp_path / "b"], 2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - started < 20
    assert set(multiprocessing.active_children()) == before


def test_what_a_worker_process_does(monkeypatch):
    ignored, routed = [], []
    monkeypatch.setattr(workers.signal, "signal", lambda *what: ignored.append(what))
    monkeypatch.setattr(workers, "route_logs", lambda: routed.append(True))
    monkeypatch.setattr(workers, "_steps", None)
    steps = SimpleNamespace(value=0)
    workers._prepare(steps)
    assert workers._call(double, 4) == 8
    assert steps.value == 2
    assert ignored == [(signal.SIGINT, signal.SIG_IGN)]
    assert routed == [True]


def test_a_pool_that_broke_between_two_tasks_is_replaced(monkeypatch):
    real, broken = workers.ProcessPoolExecutor.submit, []

    def submit(self, *task):
        if len(broken) == 1:
            broken.append(True)
            raise BrokenProcessPool
        broken.append(False)
        return real(self, *task)

    monkeypatch.setattr(workers.ProcessPoolExecutor, "submit", submit)
    assert results(double, [1, 2, 3], 1)[0] == {1: 2, 2: 4, 3: 6}
    assert True in broken
