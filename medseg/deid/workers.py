"""Work spread over processes that a hostile file may kill: the job goes on, and nothing of a file is shown."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import c_uint64
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from medseg.core.messages import route_logs

_SECONDS_BETWEEN_LOOKS = 0.2
_CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of this process hold
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
Tick = Callable[[], None]


@dataclass(frozen=True)
class Died:
    """A task whose process was killed twice, the second time with no other task running."""


@dataclass(frozen=True, eq=False)
class Work(Generic[_Task, _Result]):
    """What to do with each task.

    Attributes:
        run: A function of a module; calls its second argument for each step.
        moved: Told of the steps of all tasks together, from time to time.
    """

    run: Callable[[_Task, Tick], _Result]
    moved: Callable[[int], None]


def run_all(work: Work[_Task, _Result], tasks: Sequence[_Task], workers: int) -> Iterator[tuple[_Task, _Result | Died]]:
    """The result of each task, in the order in which they come.

    A task whose process dies is tried once more alone; the others never notice. What a task raises is raised here. If
    the caller stops early, or the user interrupts, all processes are ended at once.

    Args:
        work: What to do.
        tasks: All of them.
        workers: Processes; 0 for this one, where a task that kills its process kills the job.
    """
    if workers == 0:
        for task in tasks:
            yield task, _quietly(work.run, task, lambda: work.moved(1))
        return
    left = list(tasks)
    while left:
        suspects: list[_Task] = []
        with _pool(min(workers, len(left)), work.moved) as pool:
            yield from _through(pool, work.run, left, suspects)
        for task in suspects:
            with _pool(1, work.moved) as pool:
                alone: list[_Task] = []
                yield from _through(pool, work.run, [task], alone)
            if alone:
                yield task, Died()


@dataclass(frozen=True, eq=False)
class _Pool:
    executor: ProcessPoolExecutor
    workers: int
    look: Callable[[], None]


@contextmanager
def _pool(workers: int, moved: Callable[[int], None]) -> Iterator[_Pool]:
    steps: Any = _CONTEXT.RawValue(c_uint64)  # no lock: a process that dies with one would hold up all others
    seen = 0

    def look() -> None:
        nonlocal seen
        if (now := int(steps.value)) > seen:
            moved(now - seen)
            seen = now

    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(workers, _CONTEXT, _prepare, (steps,))
    try:
        yield _Pool(executor, workers, look)
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        look()


def _through(
    pool: _Pool, run: Callable[[_Task, Tick], _Result], left: list[_Task], suspects: list[_Task]
) -> Iterator[tuple[_Task, _Result]]:
    """Results until all tasks are through or a process dies; ``suspects`` are those that ran at that time.

    No more tasks are handed out than there are processes, so that few are suspect.
    """
    running: dict[Future[_Result], _Task] = {}
    while (left or running) and not suspects:
        if not _hand_out(pool, run, left, running) and not running:
            return  # a process died between two tasks
        done, _ = wait(running, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
        pool.look()
        for future in done:
            task = running.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                suspects.append(task)
            else:
                yield task, result
    suspects.extend(running.values())


def _hand_out(
    pool: _Pool,
    run: Callable[[_Task, Tick], _Result],
    left: list[_Task],
    running: dict[Future[_Result], _Task],
) -> bool:
    """Give each free process a task; whether the processes are alive."""
    while left and len(running) < pool.workers:
        try:
            future = pool.executor.submit(_call, run, left[0])
        except BrokenProcessPool:
            return False
        running[future] = left.pop(0)
    return True


_steps: Any = None
"""Of a worker process: the steps that all processes count together; what two count at the same time may be lost."""


def _prepare(steps: object) -> None:
    """What a worker process does first."""
    global _steps  # noqa: PLW0603 - the one thing that a process has to be given before its tasks
    _steps = steps
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    route_logs()


def _call(run: Callable[[_Task, Tick], _Result], task: _Task) -> _Result:
    return _quietly(run, task, _step)


def _quietly(run: Callable[[_Task, Tick], _Result], task: _Task, tick: Tick) -> _Result:
    """The result without warnings, in which pydicom quotes what it read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(task, tick)


def _step() -> None:
    _steps.value += 1
