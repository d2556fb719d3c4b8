"""A batch in its folder: what is left to do, what was done, and what a run that was killed left behind."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import medseg

from .discover import StudyFiles
from .engine import Engine, Tasks
from .manifest import Manifest
from .receipt import is_there, read_receipt
from .records import Status, StudyResult, StudyTask
from .work import STUDIES, WorkSettings, model_digest

_LEFTOVERS = (".partial-", ".old-")


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
            {name: value for name, value in asdict(settings.prediction).items() if name not in ("device", "batch")},
        ]
        return cls(hashlib.sha256(json.dumps(wish).encode()).hexdigest())

    def task(self, study: StudyFiles) -> StudyTask:
        """The task of a study."""
        version = hashlib.sha256(f"{study.version} {study.damaged} {self.digest}".encode()).hexdigest()[:32]
        beside = f"{study.damaged} empty or damaged files lie beside its files"
        problem = f"{beside}, so slices may be missing; mend or remove them" if study.damaged else ""
        return StudyTask(study.name, study.paths, version, problem)


@dataclass(frozen=True, eq=False)
class Job:
    """A batch: its folder, its manifest, and whether studies that failed are tried again."""

    folder: Path
    manifest: Manifest
    retry: bool = True

    def begin(self, settings: WorkSettings) -> None:
        """Sweep up after a run that was killed, and note that another one begins."""
        studies = self.folder / STUDIES
        for path in studies.iterdir() if studies.is_dir() else ():
            if path.name.startswith(_LEFTOVERS):
                shutil.rmtree(path)
        self.manifest.begin(versions(), {"forms": list(settings.forms), "series": settings.which})

    def left(self, tasks: Iterable[StudyTask]) -> list[StudyTask]:
        """The tasks that are still to be done; what a killed run finished without saying so is taken over.

        A study is done if the manifest says so of this version and all its files are there.
        """
        tasks = list(tasks)
        self.manifest.expect(tasks)
        known = self.manifest.statuses()
        return [task for task in tasks if not self._is_settled(task, known[task.name][1])]

    def run(self, engine: Engine, tasks: Tasks) -> Iterator[StudyResult]:
        """What became of each study, once it is in the manifest."""
        for result in engine.run(tasks):
            self.manifest.record(result)
            tasks.ended(result)
            yield result

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


def versions() -> dict[str, str]:
    """Of what results depend on."""
    return {
        "medseg": medseg.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
