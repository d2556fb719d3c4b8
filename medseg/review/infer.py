"""Models run in the background for the app: one image at a time, cancelled at once, forgotten after a while."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NewType

import medseg
from medseg.batch.work import model_digest
from medseg.config.load import load_config
from medseg.config.review import ReviewConfig
from medseg.core.errors import InputError, MedsegError
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Volume
from medseg.inference.agreement import disputes
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.inference.suitability import missing_channels, wrong_grid

from .access import Deed, require
from .case_files import CaseFiles
from .known_models import result_version
from .open_case import open_case
from .records import ModelStamp, Reader
from .running import Inferred, Job, JobProgress, JobState, JobStatus

__all__ = ["InferenceJobs", "InferenceLimits", "Inferred", "JobId", "JobState", "JobStatus", "shown_models"]

JobId = NewType("JobId", str)
READING, PREDICTING = "reading the image", "predicting"


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
        self._jobs: dict[JobId, Job] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="medseg-inference")

    def start(self, case: CaseFiles, model: Path, reader: Reader) -> JobId:
        """Run a model on a case's image; what was drawn there stays as it is.

        Raises:
            InputError: If the reader may not, the model is none of the configuration's, or too many runs wait.
        """
        require(reader, Deed.INFER, self._config)
        if model not in self._config.models:
            raise InputError("the configuration names no such model; choose one of its `models`")
        job = Job(case.name, reader.name, self._clock)
        with self._lock:
            self._forget_old()
            waiting = sum(one.status is JobStatus.WAITING for one in self._jobs.values())
            if waiting >= self._limits.waiting:
                raise InputError(f"{waiting} runs of models wait already; start this one when some are done")
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
        """End a run; one that computes stops after its window. Nothing happens if it is over.

        Raises:
            InputError: As ``state``.
        """
        with self._lock:
            self._of(job, reader).cancel()

    def forget(self, job: JobId, reader: Reader) -> None:
        """End a run, and let go of its result.

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

    def _of(self, name: JobId, reader: Reader) -> Job:
        job = self._jobs.get(name)
        if job is None or job.reader != reader.name:
            raise InputError("this run of a model is not known, or not any more; start it again")
        return job

    def _ahead(self, job: Job) -> int:
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

    def _run(self, job: Job, case: CaseFiles, model: Path) -> None:
        with job.explained():
            job.begin(READING)
            image = self._read(case)
            job.begin(PREDICTING)
            job.finish(self._cache.predicted(model, image, JobProgress(job, PREDICTING)))


class _ModelCache:
    """The model that was used last; for one thread."""

    def __init__(self, settings: PredictionSettings) -> None:
        self._settings = settings
        self._key: tuple[Path, str] | None = None
        self._model: tuple[Bundle, Predictor] | None = None

    def predicted(self, path: Path, image: Volume, progress: JobProgress) -> Inferred:
        digest = model_digest(path)
        bundle, predictor = self._opened(path, digest)
        prediction = predictor.predict(image, progress)
        unusual = wrong_grid(image.geometry, bundle.facts)
        missing = missing_channels(image.channels, bundle.facts)
        notes = [f"predicted {one}" for one in (missing, unusual and f"although {unusual}") if one]
        notes.extend((*prediction.notes, *disputes(prediction, bundle.scheme)))
        stamp = ModelStamp(bundle.config.name, result_version(medseg.__version__, digest), digest)
        return Inferred(Segmentation(prediction.labels, bundle.scheme), stamp, "; ".join(notes))

    def _opened(self, path: Path, digest: str) -> tuple[Bundle, Predictor]:
        if self._model is None or self._key != (path, digest):
            self._model = None  # two at once might be too large
            bundle = read_bundle(path)
            predictor = Predictor(bundle, replace(self._settings, agreement=True))
            self._key, self._model = (path, digest), (bundle, predictor)
        return self._model


def shown_models(models: Sequence[Path]) -> dict[str, Path]:
    """The models by what people call them: their names, numbered where several have one; without those damaged."""
    shown: dict[str, Path] = {}
    for path in models:
        try:
            name = load_config(path / "config.yaml").name
        except MedsegError:
            continue
        number = sum(one == name or one.rpartition(" (")[0] == name for one in shown)
        shown[f"{name} ({number + 1})" if number else name] = path
    return shown
