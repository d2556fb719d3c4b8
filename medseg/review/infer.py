"""Models run in the background for the app: one study at a time, cancelled at once, forgotten after a while."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType

import medseg
from medseg.batch.work import model_digest
from medseg.config.review import ReviewConfig
from medseg.core.errors import InputError, MedsegError
from medseg.core.messages import redacted
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Volume
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.predictor import PredictionSettings, Predictor
from medseg.inference.suitability import wrong_grid

from .access import Deed, require
from .case_files import CaseFiles
from .open_case import open_case
from .records import CaseName, ModelStamp, Reader

JobId = NewType("JobId", str)
READING, PREDICTING = "reading the image", "predicting"
_LOG = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class InferenceLimits:
    """What is held in memory at most.

    Attributes:
        waiting: Runs that wait for their turn.
        results: Results that nobody has taken yet; the oldest go first.
        keep_s: How long a run is known after its end.
    """

    waiting: int = 8
    results: int = 4
    keep_s: float = 1800.0


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


class InferenceJobs:
    """Runs the models that the configuration names; any number of threads may ask.

    Args:
        config: Names the models, and says who may run them.
        settings: How models predict.
        limits: What is held in memory.
        read: Reads the image of a case.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        config: ReviewConfig,
        settings: PredictionSettings | None = None,
        limits: InferenceLimits | None = None,
        read: Callable[[CaseFiles], Volume] = lambda files: open_case(files).volume,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._read, self._clock = config, read, clock
        self._limits = limits or InferenceLimits()
        self._cache = _ModelCache(settings or PredictionSettings())
        self._jobs: dict[JobId, _Job] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="medseg-inference")

    @property
    def models(self) -> tuple[Path, ...]:
        """The bundles that may be run."""
        return self._config.models

    def start(self, case: CaseFiles, model: Path, reader: Reader) -> JobId:
        """Run a model on a case's image; what is drawn there already stays as it is.

        Raises:
            InputError: If the reader may not, the model is none of the configuration's, or too many runs wait.
        """
        require(reader, Deed.INFER, self._config)
        if model not in self.models:
            raise InputError("the configuration names no such model; choose one of `models`")
        job = _Job(case.name, reader.name, self._clock)
        with self._lock:
            self._forget_old()
            waiting = sum(one.status is JobStatus.WAITING for one in self._jobs.values())
            if waiting >= self._limits.waiting:
                raise InputError(f"{waiting} runs wait already; try again when some are done")
            name = JobId(secrets.token_urlsafe(16))
            self._jobs[name] = job
        self._worker.submit(self._run, job, case, model)
        return name

    def state(self, job: JobId, reader: Reader) -> JobState:
        """How far a run is.

        Raises:
            InputError: If it is not known, not any more, or another reader's.
        """
        with self._lock:
            self._forget_old()
            found = self._of(job, reader)
            return found.state(self._ahead(found))

    def cancel(self, job: JobId, reader: Reader) -> None:
        """End a run; one that computes stops at its next window. Nothing happens if it is over.

        Raises:
            InputError: As ``state``.
        """
        with self._lock:
            self._of(job, reader).cancel()

    def forget(self, job: JobId, reader: Reader) -> None:
        """End a run and let go of its result.

        Raises:
            InputError: As ``state``.
        """
        with self._lock:
            self._of(job, reader).cancel()
            del self._jobs[job]

    def close(self) -> None:
        """End all runs, and wait until the last has stopped."""
        with self._lock:
            for job in self._jobs.values():
                job.cancel()
        self._worker.shutdown()

    def _of(self, name: JobId, reader: Reader) -> _Job:
        job = self._jobs.get(name)
        if job is None or job.reader != reader.name:
            raise InputError("this run of a model is not known, or not any more; start it again")
        return job

    def _ahead(self, job: _Job) -> int:
        if job.status is not JobStatus.WAITING:
            return 0
        known = list(self._jobs.values())
        return sum(not one.status.is_over for one in known[: known.index(job)])

    def _forget_old(self) -> None:
        over = {name: job for name, job in self._jobs.items() if job.status.is_over}
        old = [name for name, job in over.items() if self._clock() - job.changed > self._limits.keep_s]
        held = [name for name, job in over.items() if job.result is not None and name not in old]
        for name in (*old, *held[: max(0, len(held) - self._limits.results)]):
            del self._jobs[name]

    def _run(self, job: _Job, case: CaseFiles, model: Path) -> None:
        with _explained(job):
            job.begin(READING)
            image = self._read(case)
            job.begin(PREDICTING)
            job.finish(self._cache.predicted(model, image, job))


@dataclass(eq=False)
class _Job:
    """One run; the ``Progress`` of its prediction, by which it learns that it was cancelled."""

    case: CaseName
    reader: str
    clock: Callable[[], float] = field(repr=False)
    status: JobStatus = JobStatus.WAITING
    result: Inferred | None = None
    error: str = ""
    changed: float = 0.0
    _stage: str = ""
    _steps: tuple[int, int] = (0, 1)
    _is_cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def state(self, ahead: int) -> JobState:
        with self._lock:
            done, total = self._steps
            stage = self._stage if self.status is JobStatus.RUNNING else ""
            fraction = 1.0 if self.status is JobStatus.DONE else min(1.0, done / max(1, total))
            return JobState(self.case, self.status, stage, fraction, ahead, self.result, self.error)

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            if self.status is JobStatus.WAITING:
                self._end(JobStatus.CANCELLED)

    def begin(self, stage: str) -> None:
        with self._lock:
            self._refuse_cancelled()
            self.status, self._stage, self._steps = JobStatus.RUNNING, stage, (0, 1)

    def finish(self, result: Inferred | None = None) -> None:
        """Keep the result; without one, as a ``Progress`` is told, nothing."""
        with self._lock:
            if result is not None:
                self._refuse_cancelled()
                self.result = result
                self._end(JobStatus.DONE)

    def fail(self, error: str) -> None:
        with self._lock:
            self.error = error
            self._end(JobStatus.FAILED)

    def give_up(self) -> None:
        with self._lock:
            self._end(JobStatus.CANCELLED)

    def start(self, label: str, total: int) -> None:  # noqa: ARG002 - there is one stage only
        with self._lock:
            self._steps = (0, total)

    def advance(self, steps: int = 1) -> None:
        with self._lock:
            self._refuse_cancelled()
            self._steps = (self._steps[0] + steps, self._steps[1])

    def note(self, text: str) -> None:
        """Notes of a prediction are about values that are not finite, which show in the picture."""

    def _refuse_cancelled(self) -> None:
        if self._is_cancelled:
            raise _Cancelled

    def _end(self, status: JobStatus) -> None:
        self.status, self.changed = status, self.clock()


class _Cancelled(Exception):  # noqa: N818 - somebody's wish, and no error
    """Somebody does not want the result any more."""


@contextmanager
def _explained(job: _Job) -> Iterator[None]:
    """Whatever ends the block becomes the job's status."""
    try:
        yield
    except _Cancelled:
        job.give_up()
    except MedsegError as error:
        job.fail(redacted(str(error)))
    except MemoryError:
        job.fail("not enough memory for this image; predict it on another machine")
    except Exception as error:  # noqa: BLE001 - a hostile image may raise anything, and others wait
        _LOG.warning("a run of a model ended with an unexpected %s", type(error).__name__)
        job.fail(f"unexpected {type(error).__name__}; `medseg predict` on this image shows the details")


class _ModelCache:
    """The model that was used last; used by one thread only."""

    def __init__(self, settings: PredictionSettings) -> None:
        self._settings = settings
        self._key: tuple[Path, str] | None = None
        self._model: tuple[Bundle, Predictor] | None = None

    def predicted(self, path: Path, image: Volume, progress: _Job) -> Inferred:
        digest = model_digest(path)
        if self._model is None or self._key != (path, digest):
            self._key = self._model = None
            bundle = read_bundle(path)
            self._key, self._model = (path, digest), (bundle, Predictor(bundle, self._settings))
        bundle, predictor = self._model
        labels = predictor.predict(image, progress).labels
        unusual = wrong_grid(image.geometry, bundle.facts)
        stamp = ModelStamp(bundle.config.name, f"{medseg.__version__}-{digest[:8]}", digest)
        return Inferred(Segmentation(labels, bundle.scheme), stamp, f"predicted although {unusual}" if unusual else "")


def shown_models(models: Sequence[Path]) -> dict[str, Path]:
    """The models by what the app calls them: the name that each was given, numbered where two have the same."""
    shown: dict[str, Path] = {}
    for path in models:
        name = read_bundle(path).config.name
        number = 2
        while name in shown:
            name, number = f"{name.rpartition(' ')[0] if number > 2 else name} {number}", number + 1
        shown[name] = path
    return shown
