"""Workers that hang, die and fail on demand; a module of its own, so that spawned processes can import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from medseg.batch.records import Stage, Status, StudyResult, StudyTask
from medseg.core.errors import BundleError


class Scripted:
    """Does what the first path of a task says; a file in the folder tells of every try."""

    def __init__(self, folder: Path, index: int):
        self.folder, self.index = folder, index

    def process(self, task: StudyTask, enter) -> StudyResult:
        with (self.folder / f"{task.name}.tries").open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        enter(Stage.READ)
        what, _, number = task.paths[0].partition(" ")
        if what == "die" or (what == "die-once" and self._is_first(task)):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "die-waiting":
            enter(None)
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "exit":
            os._exit(3)
        if what == "gpu" or (what == "gpu-once" and self._is_first(task)):
            enter(Stage.PREDICT)
            enter(None)  # as the end of the stage says, before anybody asks what the exception was
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if what == "raise":
            raise ZeroDivisionError("secret /home/patient")
        if what == "sleep":
            time.sleep(float(number))
        if what == "wait":
            enter(None)
            time.sleep(float(number))
        enter(Stage.PREDICT)
        enter(None)
        return StudyResult(task.name, task.version, Status.DONE, f"by {self.index}")

    def _is_first(self, task: StudyTask) -> bool:
        return len((self.folder / f"{task.name}.tries").read_text().splitlines()) == 1


def unfit(index: int) -> Scripted:
    raise BundleError("no such model")


def faulty(index: int) -> Scripted:
    raise RuntimeError("secret /home/patient")


def dead(index: int) -> Scripted:
    os._exit(7)
