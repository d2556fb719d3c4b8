"""Studies spread over worker processes that may hang or die: every study comes to an end, and the others go on."""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Protocol

from medseg.core.errors import InputError

from .records import Stage, Status, StudyResult, StudyTask
from .worker import Ended, Entered, OpenWorker, Ready, Unfit, serve

_CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of this process hold
_SECONDS_BETWEEN_LOOKS = 0.2
_GRACE_S = 5.0


class Tasks(Protocol):
    """Where an engine takes its work from."""

    def next(self) -> StudyTask | None:
        """The next study; None if there is none at present."""

    def ended(self, result: StudyResult) -> None:
        """Told of what became of a study."""

    @property
    def are_over(self) -> bool:
        """Whether none will come any more."""


class Engine(Protocol):
    """What does studies."""

    def run(self, tasks: Tasks) -> Iterator[StudyResult]:
        """What became of each study, in the order in which they end."""


class ListedTasks:
    """Tasks that are all known from the beginning."""

    def __init__(self, tasks: Iterable[StudyTask]) -> None:
        self._left = deque(tasks)

    def next(self) -> StudyTask | None:
        """The next study; None if there is none any more."""
        return self._left.popleft() if self._left else None

    def ended(self, result: StudyResult) -> None:
        """Nothing follows from it."""

    @property
    def are_over(self) -> bool:
        """Whether all were taken."""
        return not self._left


@dataclass(frozen=True)
class Limits:
    """What a worker may take on.

    Attributes:
        processes: How many there are.
        at_once: Studies that a process has in hand: one computes while others are read and written.
        seconds: Longest time that a study may be worked at, waiting aside; None for no limit.
    """

    processes: int = 1
    at_once: int = 3
    seconds: float | None = 1800.0


@dataclass(eq=False)
class _Hand:
    """A study that a process has in hand, and how long it was worked at."""

    task: StudyTask
    stage: Stage | None = None
    since: float = 0.0
    spent: float = 0.0

    def enter(self, stage: Stage | None, now: float) -> None:
        self.spent += now - self.since if self.stage is not None else 0.0
        self.stage, self.since = stage, now

    def seconds(self, now: float) -> float:
        return self.spent + (now - self.since if self.stage is not None else 0.0)


@dataclass(eq=False)
class _Process:
    index: int
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    at_once: int
    hands: dict[str, _Hand] = field(default_factory=dict)
    is_ready: bool = False

    @property
    def is_free(self) -> bool:
        return self.is_ready and len(self.hands) < self.at_once

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class LocalEngine:
    """Worker processes on this machine.

    A study that takes too long has its process ended, and failed; what else that process had in hand is begun again. Of
    the studies in the hand of a process that died, each is tried once more, alone in its process; if that dies too, the
    study has failed.

    Args:
        open_worker: Makes what does the work, in each process; a function of a module, or a partial of one.
        limits: How many, how much, how long.
    """

    def __init__(self, open_worker: OpenWorker, limits: Limits) -> None:
        self._open_worker, self._limits = open_worker, limits
        self._processes: list[_Process] = []
        self._again: deque[StudyTask] = deque()
        self._suspects: deque[StudyTask] = deque()
        self._alone: set[str] = set()

    def run(self, tasks: Tasks) -> Iterator[StudyResult]:
        """What became of each study, in the order in which they end; processes end with the iterator.

        Raises:
            MedsegError: If a worker cannot be made; what it raised.
        """
        try:
            while not self._is_over(tasks):
                self._hand_out(tasks)
                yield from self._gather()
        finally:
            self._end()

    def _is_over(self, tasks: Tasks) -> bool:
        busy = any(process.hands for process in self._processes)
        return tasks.are_over and not busy and not self._again and not self._suspects

    def _hand_out(self, tasks: Tasks) -> None:
        """Give free processes work; a study whose process died only when nothing else is in hand."""
        self._start_missing()
        if self._suspects or self._alone:
            free = next((process for process in self._processes if process.is_free), None)
            if free is not None and not any(process.hands for process in self._processes):
                suspect = self._suspects.popleft()
                self._alone.add(suspect.name)
                self._give(free, suspect)
            return
        for process in self._processes:
            while process.is_free:
                task = self._again.popleft() if self._again else tasks.next()
                if task is None:
                    return
                self._give(process, task)

    def _start_missing(self) -> None:
        taken = {process.index for process in self._processes}
        for index in set(range(self._limits.processes)) - taken:
            mine, theirs = _CONTEXT.Pipe()
            arguments = (theirs, self._open_worker, index, self._limits.at_once)
            process = _CONTEXT.Process(target=serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._processes.append(_Process(index, process, mine, self._limits.at_once))

    def _give(self, process: _Process, task: StudyTask) -> None:
        process.hands[task.name] = _Hand(task)
        try:
            process.pipe.send(task)
        except OSError:
            return  # it died; the pipe's other end is gone, and the next look finds that out

    def _gather(self) -> Iterator[StudyResult]:
        """Results that have come, and those of studies that are ended for taking too long."""
        ready = wait([process.pipe for process in self._processes], _SECONDS_BETWEEN_LOOKS)
        for process in [one for one in self._processes if one.pipe in ready]:
            yield from self._heard(process)
        yield from self._late(time.monotonic())

    def _heard(self, process: _Process) -> Iterator[StudyResult]:
        """Results among all that a process has said so far, before anybody asks whether it is late."""
        try:
            while True:
                result = self._told(process, process.pipe.recv())
                if result is not None:
                    yield result
                if not process.pipe.poll():
                    return
        except (EOFError, OSError):
            yield from self._bury(process)

    def _told(self, process: _Process, message: Ready | Unfit | Entered | Ended) -> StudyResult | None:
        match message:
            case Ready():
                process.is_ready = True
            case Unfit(error):
                raise error
            case Entered(name, stage, at):
                process.hands[name].enter(stage, at)
            case Ended(result):
                del process.hands[result.name]
                self._alone.discard(result.name)
                return result
        return None

    def _bury(self, process: _Process) -> Iterator[StudyResult]:
        """A process died: its studies are suspect, but one that was alone in it has failed."""
        was_ready = process.is_ready
        process.process.join(_GRACE_S)
        code = process.process.exitcode
        self._remove(process)
        if not was_ready:
            raise InputError(f"a worker process ended before it could begin ({_cause(code)})")
        was_at_work = any(hand.stage is not None for hand in process.hands.values())
        for hand in process.hands.values():
            if hand.task.name in self._alone:
                self._alone.discard(hand.task.name)
                yield _failed(hand.task, f"its process died twice, {_cause(code)}")
            elif hand.stage is None and was_at_work:
                self._again.append(hand.task)  # it was not worked at and others were, so it is not to blame
            else:
                self._suspects.append(hand.task)

    def _late(self, now: float) -> Iterator[StudyResult]:
        limit = self._limits.seconds
        for process in self._processes[:] if limit is not None else []:
            late = [hand for hand in process.hands.values() if hand.seconds(now) > (limit or 0)]
            if not late:
                continue
            self._remove(process)
            for hand in process.hands.values():
                if hand in late:
                    self._alone.discard(hand.task.name)
                    doing = f" while it was to {hand.stage}" if hand.stage else ""
                    yield _failed(hand.task, f"it took longer than the limit of {limit:g} s{doing}")
                else:
                    self._again.append(hand.task)

    def _remove(self, process: _Process) -> None:
        process.end()
        self._processes.remove(process)

    def _end(self) -> None:
        for process in self._processes:
            process.end()
        self._processes.clear()


def _failed(task: StudyTask, reason: str) -> StudyResult:
    return StudyResult(task.name, task.version, Status.FAILED, reason)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        hint = ", as when memory runs out" if code == -9 else ""
        return f"ended by signal {-code}{hint}"
    return f"with exit code {code}"
