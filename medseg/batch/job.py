"""A batch in its folder: what is left to do, what was done, and what a run that was killed left behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import medseg
from medseg.core.errors import OutputError

from .discover import StudyFiles
from .engine import Engine, Tasks
from .manifest import Manifest
from .receipt import is_there, read_receipt
from .records import Status, StudyResult, StudyTask
from .work import STUDIES, WorkSettings, model_digest

_LEFTOVERS = (".partial-", ".old-")
_WAITS_S = (0.0, 0.1, 0.5, 2.0)


@dataclass(frozen=True)
class TaskMaker:
    """Makes the tasks of one model and one wish, whose versions change when either does."""

    digest: str

    @classmethod
    def of(cls, settings: WorkSettings) -> TaskMaker:
        """The maker for these settings."""
        wish = [
            model_digest(settings.bundle),
            sorted(settings.forms),
            settings.selection and settings.selection.model_dump(mode="json"),
            settings.any_size,
            settings.which,
            settings.fill_gaps,
            settings.all_frames,
            {name: value for name, value in asdict(settings.prediction).items() if name not in ("device", "batch")},
        ]
        return cls(hashlib.sha256(json.dumps(wish).encode()).hexdigest())

    def task(self, study: StudyFiles) -> StudyTask:
        """The task of a study."""
        version = hashlib.sha256(f"{study.version} {study.damaged} {self.digest}".encode()).hexdigest()[:32]
        return StudyTask(study.name, study.paths, version, study.problem)


@dataclass(frozen=True, eq=False)
class Job:
    """A batch.

    Attributes:
        folder: Of its results.
        manifest: What became of each study.
        retry: Whether studies that failed are tried again.
        keeps_done: Whether what was done of a study stays when a later round of it is skipped or fails.
    """

    folder: Path
    manifest: Manifest
    retry: bool = True
    keeps_done: bool = False

    def begin(self, settings: WorkSettings) -> None:
        """Sweep up after a run that was killed, and note that another one begins.

        Raises:
            OutputError: If what was left behind cannot be removed.
        """
        self._sweep()
        self.manifest.begin(versions(), {"forms": list(settings.forms), "series": settings.which})

    def left(self, tasks: Iterable[StudyTask]) -> list[StudyTask]:
        """The tasks that are still to be done; what a killed run finished without saying so is taken over.

        A study is done if the manifest says so of this version and all its files are there.
        """
        tasks = list(tasks)
        self.manifest.expect(tasks)
        known = self.manifest.statuses()
        left = [task for task in tasks if not self._is_settled(task, known[task.name][1])]
        self.manifest.wait_again(task.name for task in left)
        return left

    def run(self, engine: Engine, tasks: Tasks) -> Iterator[StudyResult]:
        """What became of each study, once it is in the manifest; worker processes that were ended leave nothing behind.

        A study that was not done keeps no results of an earlier version, which would be taken for its own; where later
        rounds may bring less of a study than was there, what was done stays, and the manifest goes on saying so.

        Raises:
            OutputError: If the manifest cannot be written, or old results cannot be removed.
        """
        try:
            for result in engine.run(tasks):
                self._record(result)
                tasks.ended(result)
                yield result
        finally:
            self._sweep()

    def _record(self, result: StudyResult) -> None:
        folder = self.folder / STUDIES / result.name
        if result.status is Status.FAILED:  # its worker may have been killed while it wrote
            replaced = [path.parent for path in folder.parent.glob(f".old-*/{result.name}")]
            for path in (*folder.parent.glob(f".partial-*-{result.name}"), *replaced):
                _remove(path)
        if result.status is not Status.DONE:
            earlier = read_receipt(folder) if self.keeps_done else None
            if earlier is not None and earlier.name == result.name:
                self.manifest.record(earlier)
                return
            _remove(folder)
        self.manifest.record(result)

    def _sweep(self) -> None:
        """Remove what atomic writing leaves behind when it is killed."""
        for folder in (self.folder, self.folder / STUDIES):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name.startswith(_LEFTOVERS):
                    _remove(path)

    def _is_settled(self, task: StudyTask, status: Status) -> bool:
        folder = self.folder / STUDIES / task.name
        match status:
            case Status.SKIPPED:
                return True
            case Status.FAILED:
                return not self.retry
            case Status.DONE if all(is_there(folder, o.name, o.size) for o in self.manifest.outputs(task.name)):
                return True
        receipt = read_receipt(folder)
        if receipt is None or receipt.version != task.version or receipt.name != task.name:
            return False
        self.manifest.record(receipt)
        return True


def _remove(path: Path) -> None:
    """Remove a file or folder, into which a process that is about to end may still be writing."""
    for wait_s in _WAITS_S:
        time.sleep(wait_s)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
        if not path.exists():
            return
    raise OutputError(f"{path.name!r} in the output folder cannot be removed; remove it, and start again")


def versions() -> dict[str, str]:
    """Of what results depend on."""
    return {
        "medseg": medseg.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
