"""A run of a model in the background: how far it is, what came of it, and the wish that it end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from medseg.core.errors import MedsegError
from medseg.core.messages import redacted
from medseg.core.segmentation import Segmentation

from .records import CaseName, ModelStamp

_LOGGER = logging.getLogger(__name__)


class JobStatus(StrEnum):
    """How far a run is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (JobStatus.WAITING, JobStatus.RUNNING)


@dataclass(frozen=True, eq=False)
class Inferred:
    """What a model says.

    Attributes:
        segmentation: On the image's own grid.
        model: Which model.
        note: Why it may be less good than usual, as a sentence without a full stop; mostly empty.
    """

    segmentation: Segmentation
    model: ModelStamp
    note: str = ""


@dataclass(frozen=True, eq=False)
class JobState:
    """A run as it is now.

    Attributes:
        case: Whose image it is about.
        status: How far it is.
        stage: What is being done; empty while it waits and afterwards.
        fraction: Done of that stage, in [0, 1].
        ahead: Runs that come before it.
        result: What the model said; None unless it is done.
        error: Why it failed; empty unless it did.
    """

    case: CaseName
    status: JobStatus
    stage: str
    fraction: float
    ahead: int
    result: Inferred | None
    error: str


@dataclass(eq=False)
class Job:
    """A run, safe among threads; one that is cancelled raises ``Cancelled`` in the thread that does it.

    Attributes:
        case: Whose image it is about.
        reader: Who asked for it.
        clock: Seconds that only grow.
        status: How far it is.
        changed: When it ended.
        result: What came of it.
    """

    case: CaseName
    reader: str
    clock: Callable[[], float] = field(repr=False)
    status: JobStatus = JobStatus.WAITING
    changed: float = 0.0
    result: Inferred | None = None
    _error: str = ""
    _stage: str = ""
    _done: int = 0
    _total: int = 1
    _is_cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def state(self, ahead: int) -> JobState:
        """How far it is, with so many others before it."""
        with self._lock:
            stage = self._stage if self.status is JobStatus.RUNNING else ""
            fraction = 1.0 if self.status is JobStatus.DONE else min(1.0, self._done / max(1, self._total))
            return JobState(self.case, self.status, stage, fraction, ahead, self.result, self._error)

    def cancel(self) -> None:
        """Wish that it end."""
        with self._lock:
            self._is_cancelled = True
            if self.status is JobStatus.WAITING:
                self._end(JobStatus.CANCELLED)

    def begin(self, stage: str, total: int = 1) -> None:
        """A stage of so many steps begins."""
        with self._lock:
            self._go_on()
            self.status, self._stage, self._done, self._total = JobStatus.RUNNING, stage, 0, total

    def advance(self, steps: int) -> None:
        """So many steps of the stage are done."""
        with self._lock:
            self._go_on()
            self._done += steps

    def finish(self, result: Inferred) -> None:
        """It is done."""
        with self._lock:
            self._go_on()
            self.result = result
            self._end(JobStatus.DONE)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """The block does the run; whatever ends it becomes the status."""
        try:
            yield
        except Cancelled:
            self._fail(JobStatus.CANCELLED, "")
        except MedsegError as error:
            self._fail(JobStatus.FAILED, redacted(str(error)))
        except MemoryError:
            self._fail(JobStatus.FAILED, "not enough memory for this image; predict it on another machine")
        except Exception as error:  # noqa: BLE001 - a hostile image may raise anything, and others wait for their turn
            kind = type(error).__name__
            _LOGGER.warning("a run of a model ended with an unexpected %s", kind)
            self._fail(JobStatus.FAILED, f"unexpected {kind}; `medseg predict` on the same image shows the details")

    def _fail(self, status: JobStatus, error: str) -> None:
        with self._lock:
            self._error = error
            self._end(status)

    def _go_on(self) -> None:
        if self._is_cancelled:
            raise Cancelled

    def _end(self, status: JobStatus) -> None:
        self.status, self.changed = status, self.clock()


class Cancelled(Exception):  # noqa: N818 - a wish, and no error
    """Nobody wants the result any more."""


class JobProgress:
    """Tells a run how far its prediction is."""

    def __init__(self, job: Job, stage: str) -> None:
        self._job, self._stage = job, stage

    def start(self, label: str, total: int) -> None:  # noqa: ARG002 - people read the run's own words
        """A stage begins."""
        self._job.begin(self._stage, total)

    def advance(self, steps: int = 1) -> None:
        """So many steps are done."""
        self._job.advance(steps)

    def note(self, text: str) -> None:
        """Nothing: notes of a prediction are about values that are not finite, and those show in the picture."""

    def finish(self) -> None:
        """Nothing: the run itself is told of its result."""
