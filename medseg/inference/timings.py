"""Where the time of a prediction goes, by stage; for who asks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from medseg.core.progress import SILENT, Progress

from .runner import Runner
from .stream import Sink

Stage = Literal["reading", "preprocessing", "network", "assembling", "decision", "clean-up", "writing"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""In the order of a prediction; ``decision`` is resampling to the source grid and what is made of probabilities."""
_NOTHING = nullcontext()
_FORWARDS = 3

Calls = dict[tuple[int, tuple[int, ...]], int]
"""How often which network, by its number, took windows of which shape."""


class Observer(Protocol):
    """Told in which stage a prediction is."""

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        """The block is that stage, but for the stages within it."""

    def runners(self, runners: Sequence[Runner]) -> Sequence[Runner]:
        """The same networks; what they do is the stage ``network``."""

    def sink(self, sink: Sink) -> Sink:
        """The same sink; what it does is the stage ``decision``."""


class _Unobserved:
    """Looks away, which costs nothing."""

    def stage(self, name: Stage) -> AbstractContextManager[None]:  # noqa: ARG002 - all stages alike
        return _NOTHING

    def runners(self, runners: Sequence[Runner]) -> Sequence[Runner]:
        return runners

    def sink(self, sink: Sink) -> Sink:
        return sink


UNOBSERVED: Observer = _Unobserved()


class Timings:
    """Adds up seconds by stage; a stage within another one pauses it, so no second counts twice.

    A device that works behind the processor is waited for at each change of stage. That takes away what the two could
    have done at the same time, so that observed runs there are slower than others.

    Args:
        device: Where the networks compute.

    Attributes:
        device: As given.
        seconds: By stage; those that never came have 0.
        calls: What the networks were given.
        is_on: Whether to observe; may be changed between predictions.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self.calls: Calls = {}
        self.is_on = True
        self.device = device
        self._networks: list[Runner] = []
        self._open: list[Stage] = []
        self._since = 0.0

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        """See ``Observer``."""
        return self._timed(name) if self.is_on else _NOTHING

    def runners(self, runners: Sequence[Runner]) -> Sequence[Runner]:
        """See ``Observer``."""
        return tuple(_TimedRunner(self, self._number(runner), runner) for runner in runners)

    def sink(self, sink: Sink) -> Sink:
        """See ``Observer``."""

        def timed(start: int, slab: Tensor) -> None:
            with self.stage("decision"):
                sink(start, slab)

        return timed

    def call(self, number: int, windows: Tensor) -> Tensor:
        """Logits of a network that was seen before."""
        if self.is_on:
            key = number, tuple(windows.shape)
            self.calls[key] = self.calls.get(key, 0) + 1
        with self.stage("network"):
            return self._networks[number](windows)

    def floor_s(self, progress: Progress = SILENT) -> float:
        """Seconds that the forward passes of all calls take by themselves, on noise that lies on the device.

        Each shape is timed three times, of which the median counts.
        """
        progress.start("the network alone", len(self.calls))
        total = 0.0
        for (number, shape), count in self.calls.items():
            total += count * self._forward_s(number, shape)
            progress.advance()
        return total

    def _forward_s(self, number: int, shape: tuple[int, ...]) -> float:
        windows = torch.randn(shape, device=self.device)
        seconds = []
        with torch.inference_mode():
            for _ in range(_FORWARDS):
                started = self._now()
                self._networks[number](windows)
                seconds.append(self._now() - started)
        return statistics.median(seconds)

    def _number(self, runner: Runner) -> int:
        for number, known in enumerate(self._networks):
            if known is runner:
                return number
        self._networks.append(runner)
        return len(self._networks) - 1

    @contextmanager
    def _timed(self, name: Stage) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        """Give the time since the last turn to the stage that was open."""
        now = self._now()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def _now(self) -> float:
        synchronize(self.device)
        return time.perf_counter()


class _TimedRunner:
    def __init__(self, timings: Timings, number: int, runner: Runner) -> None:
        self._timings, self._number, self._runner = timings, number, runner

    @property
    def device(self) -> torch.device:
        return self._runner.device

    def __call__(self, windows: Tensor) -> Tensor:
        return self._timings.call(self._number, windows)


def synchronize(device: torch.device) -> None:
    """Wait until a device that works behind the processor has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
