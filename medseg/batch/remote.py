"""What runs in a worker of a cluster: the same work as in a process of this machine, and a clock that can be asked."""

from __future__ import annotations

import threading
import time
import warnings

import medseg
from medseg.core.errors import InputError, MedsegError
from medseg.core.messages import route_logs

from .records import Stage, StudyResult, StudyTask
from .worker import OpenWorker, Worker, done, fault

AtWork = dict[str, tuple[float, Stage | None]]
"""Seconds that each study in hand has been worked at, waiting aside, and its stage; None while it waits."""


class RemoteWorker:
    """A worker that is called from another machine, several calls at a time.

    What goes wrong is an answer and no exception: a cluster writes exceptions down, with all that they hold.

    Args:
        open_worker: Makes what does the work.
        index: Number of this worker.
        version: The medseg of who calls; this machine needs the same.
    """

    def __init__(self, open_worker: OpenWorker, index: int, version: str) -> None:
        route_logs()
        warnings.simplefilter("ignore")  # pydicom's quote what was read
        self._lock = threading.Lock()
        self._spent: dict[str, float] = {}
        self._entered: dict[str, tuple[float, Stage]] = {}
        self._worker = _opened(open_worker, index, version)

    def unfit(self) -> MedsegError | None:
        """Why it cannot work; None if it can. Who asks waits until that is known."""
        return self._worker if isinstance(self._worker, MedsegError) else None

    def process(self, task: StudyTask) -> StudyResult:
        """What became of a study.

        Raises:
            MedsegError: If the worker is unfit.
        """
        if isinstance(self._worker, MedsegError):
            raise self._worker
        self._enter(task.name, None)
        try:
            return done(self._worker, task, lambda stage: self._enter(task.name, stage))
        finally:
            with self._lock:
                self._spent.pop(task.name, None)
                self._entered.pop(task.name, None)

    def at_work(self) -> AtWork:
        """How long each study in hand has been worked at, and in which stage it is."""
        now = time.monotonic()
        with self._lock:
            return {name: self._clock(name, now) for name in self._spent}

    def _clock(self, name: str, now: float) -> tuple[float, Stage | None]:
        since, stage = self._entered.get(name, (now, None))
        return self._spent[name] + now - since, stage

    def _enter(self, name: str, stage: Stage | None) -> None:
        now = time.monotonic()
        with self._lock:
            since, _ = self._entered.pop(name, (now, None))
            self._spent[name] = self._spent.get(name, 0.0) + now - since
            if stage is not None:
                self._entered[name] = now, stage


def _opened(open_worker: OpenWorker, index: int, version: str) -> Worker | MedsegError:
    if medseg.__version__ != version:
        return InputError(f"a node of the cluster has medseg {medseg.__version__}, this machine has {version}")
    try:
        return open_worker(index)
    except MedsegError as error:
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001 - the cluster would write it down with its text
        return InputError(f"a worker of the cluster cannot begin: {fault(error)}")
