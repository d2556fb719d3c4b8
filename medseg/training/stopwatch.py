"""Where the time of a run goes, and what would make it faster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Literal, TypeVar

import torch

T = TypeVar("T")
Part = Literal["network", "data", "validation", "checkpoints"]
_PARTS: tuple[Part, ...] = ("network", "data", "validation", "checkpoints")  # the first fields of Spent, in order
_SLOW = 0.2  # share of the steps that the data may take
_BUSY = 0.5  # share of the waiting that this process computes; below, it waits for the disk


@dataclass(frozen=True)
class Spent:
    """Seconds by what they went to.

    Attributes:
        network: Forward and backward passes, loss and optimizer.
        data: Waiting for patches; on CUDA only while the device idled too.
        validation: Scoring validation cases.
        checkpoints: Writing checkpoints.
        drawing: Processor time of this process while it waited for patches.
    """

    network: float = 0.0
    data: float = 0.0
    validation: float = 0.0
    checkpoints: float = 0.0
    drawing: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def parts(self) -> dict[Part, float]:
        """Seconds of each part; they add up to all that was measured."""
        return dict(zip(_PARTS, astuple(self), strict=False))

    def shares(self) -> str:
        """Such as ``network 94 %, data 4 %, validation 2 %``; parts below half a percent are left out."""
        total = sum(self.parts.values())
        shares = {part: 100 * seconds / max(total, 1e-9) for part, seconds in self.parts.items()}
        return ", ".join(f"{part} {share:.0f} %" for part, share in shares.items() if share >= 0.5)


NOTHING_SPENT = Spent()


@dataclass(frozen=True)
class Crew:
    """Who prepares the patches.

    Attributes:
        device: Kind of the device that the network runs on.
        workers: Processes that prepare patches for this one; 0 if it does so itself.
        cores: Processor cores that this process and its workers have to themselves.
    """

    device: str
    workers: int
    cores: int


class Stopwatch:
    """Adds up the seconds of an epoch by part, without making the processor wait for the device.

    On CUDA the steps run behind the processor, which therefore cannot time them; the device marks the begin and the
    end of each step, and the marks are read at the end of the epoch.
    """

    def __init__(self, device: torch.device) -> None:
        self._marks = _DeviceMarks() if device.type == "cuda" else _HostMarks()
        self._spent = Spent()
        self._waited_s = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """The block is a step of the network."""
        self._marks.begin()
        yield
        self._marks.end()

    @contextmanager
    def validation(self) -> Iterator[None]:
        """The block scores validation cases."""
        start = time.perf_counter()
        yield
        self._spent += Spent(validation=time.perf_counter() - start)

    @contextmanager
    def checkpoint(self) -> Iterator[None]:
        """The block writes checkpoints."""
        start = time.perf_counter()
        yield
        self._spent += Spent(checkpoints=time.perf_counter() - start)

    def waits(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches; waiting for them is counted."""
        iterator = iter(batches)
        while True:
            start, worked = time.perf_counter(), time.process_time()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._spent += Spent(drawing=time.process_time() - worked)
            self._waited_s += time.perf_counter() - start
            yield batch

    def lap(self, steps_s: float) -> Spent:
        """What was measured since the last lap.

        Args:
            steps_s: Seconds that fetching batches and doing the steps took together, device included.
        """
        network = min(self._marks.read(), steps_s)
        lap = self._spent + Spent(network=network, data=min(self._waited_s, steps_s - network))
        self._spent, self._waited_s = Spent(), 0.0
        return lap


class _HostMarks:
    """For devices that the processor waits for."""

    def __init__(self) -> None:
        self._start, self._seconds = 0.0, 0.0

    def begin(self) -> None:
        self._start = time.perf_counter()

    def end(self) -> None:
        self._seconds += time.perf_counter() - self._start

    def read(self) -> float:
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class _DeviceMarks:
    """For CUDA: events in the stream."""

    def __init__(self) -> None:
        self._steps: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def begin(self) -> None:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        self._steps.append((start, end))

    def end(self) -> None:
        self._steps[-1][1].record()

    def read(self) -> float:
        if self._steps:
            self._steps[-1][1].synchronize()
        milliseconds = sum(start.elapsed_time(end) for start, end in self._steps)
        self._steps.clear()
        return float(milliseconds) / 1000


def bottleneck(spent: Spent, crew: Crew) -> str:
    """One line: where the time went, what it was short of (network, data or CPU), and what to try.

    Empty if nothing was measured.
    """
    total = sum(spent.parts.values())
    if total == 0:
        return ""
    seconds = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in spent.parts.items())
    return f"{seconds}; {_verdict(spent, crew)}"


def _verdict(spent: Spent, crew: Crew) -> str:
    if spent.data > _SLOW * (spent.network + spent.data):
        return _data_verdict(spent, crew)
    if spent.validation > spent.network:
        return "validation is the bottleneck: try fewer of them, by training.validate_every"
    if spent.checkpoints > _SLOW * spent.network:
        return "the disk is the bottleneck while checkpoints are written: try a larger training.budget.steps"
    if crew.device == "cpu":
        return "the network is the bottleneck, on the CPU: only a GPU or a smaller network would be faster"
    return "the network is the bottleneck, as it should be"


def _data_verdict(spent: Spent, crew: Crew) -> str:
    spare = max(0, crew.cores - 1 - crew.workers)
    if crew.workers == 0 and spent.drawing < _BUSY * spent.data:
        return "data is the bottleneck, read from a slow disk: keep RUN/prepared on a faster one, or in memory"
    if spare and crew.device != "cpu":
        return f"the CPU is the bottleneck while it prepares patches: try training.workers={crew.workers + spare}"
    return "the CPU is the bottleneck while it prepares patches: try less augmentation, or a machine with more cores"
