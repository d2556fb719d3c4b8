"""What runs in a worker of a cluster: the same work as in a process of this machine, and a clock that can be asked."""

from __future__ import annotations

import threading
import time
import warnings

from medseg.core.messages import route_logs

from .records import Stage, StudyResult, StudyTask
from .worker import OpenWorker, done


class RemoteWorker:
    """A worker that others call by name, several calls at a time.

    Args:
        open_worker: Makes what does the work.
        index: Number of this worker.
    """

    def __init__(self, open_worker: OpenWorker, index: int) -> None:
        route_logs()
        warnings.simplefilter("ignore")  # pydicom's quote what was read
        self._worker = open_worker(index)
        self._lock = threading.Lock()
        self._spent: dict[str, float] = {}
        self._since: dict[str, float] = {}

    def is_ready(self) -> bool:
        """Whether it was made; who asks waits for that."""
        return True

    def process(self, task: StudyTask) -> StudyResult:
        """What became of a study."""
        try:
            return done(self._worker, task, lambda stage: self._enter(task.name, stage))
        finally:
            with self._lock:
                self._spent.pop(task.name, None)
                self._since.pop(task.name, None)

    def seconds(self) -> dict[str, float]:
        """How long each study in hand has been worked at, waiting aside."""
        now = time.monotonic()
        with self._lock:
            return {name: spent + now - self._since.get(name, now) for name, spent in self._spent.items()}

    def _enter(self, name: str, stage: Stage | None) -> None:
        now = time.monotonic()
        with self._lock:
            self._spent[name] = self._spent.get(name, 0.0) + now - self._since.pop(name, now)
            if stage is not None:
                self._since[name] = now
