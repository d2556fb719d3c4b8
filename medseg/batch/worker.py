"""What runs in a worker process: several studies at once, one of which computes."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from medseg.core.errors import InputError, MedsegError
from medseg.core.messages import route_logs

from .records import Stage, Status, StudyResult, StudyTask

_LOGGER = logging.getLogger(__name__)
_GPU_FAULT = 70
_SWITCH_S = 2e-5
"""How long a thread that parses keeps the network's thread from its next step; by default 5 ms, at every step."""
Enter = Callable[[Stage | None], None]
"""Told which stage a study enters; None while it waits for its turn."""


class Worker(Protocol):
    """What does the work; several threads call it at once."""

    def process(self, task: StudyTask, enter: Enter) -> StudyResult:
        """Do one study."""


OpenWorker = Callable[[int], Worker]
"""Makes the worker of the process of that number."""


@dataclass(frozen=True)
class Ready:
    """The worker was made."""


@dataclass(frozen=True)
class Unfit:
    """The worker cannot be made."""

    error: MedsegError


@dataclass(frozen=True)
class Entered:
    """A study entered a stage, or waits; ``at`` is of the clock that all processes of the machine share."""

    name: str
    stage: Stage | None
    at: float


@dataclass(frozen=True)
class Ended:
    """A study came to its end."""

    result: StudyResult


def serve(pipe: Connection, open_worker: OpenWorker, index: int, at_once: int) -> None:
    """Do the studies that come through the pipe until it closes; then the process ends at once, whatever it does.

    Args:
        pipe: Tasks come, messages go.
        open_worker: Makes the worker.
        index: Number of this process.
        at_once: Threads.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends
    sys.setswitchinterval(_SWITCH_S)
    route_logs()
    warnings.simplefilter("ignore")  # pydicom's quote what was read
    lock = threading.Lock()
    tasks: queue.SimpleQueue[StudyTask] = queue.SimpleQueue()

    def send(message: Ready | Unfit | Entered | Ended) -> None:
        try:
            with lock:
                pipe.send(message)
        except OSError:
            os._exit(0)  # the parent is gone: no thread may go on writing

    try:
        worker = open_worker(index)
    except MedsegError as error:
        send(Unfit(error.with_traceback(None)))
        return
    except Exception as error:  # noqa: BLE001 - its text may quote what nobody may read
        send(Unfit(InputError(f"no worker can be made: {fault(error)}; this is a fault of medseg")))
        return
    for _ in range(at_once):
        threading.Thread(target=_work, args=(worker, tasks, send), daemon=True).start()
    send(Ready())
    try:
        while True:
            tasks.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone, or done with this process


def _work(worker: Worker, tasks: queue.SimpleQueue[StudyTask], send: Callable[[Entered | Ended], None]) -> None:
    while True:
        task = tasks.get()
        name = task.name
        send(Ended(done(worker, task, lambda stage, name=name: send(Entered(name, stage, time.monotonic())))))  # type: ignore[misc]


def done(worker: Worker, task: StudyTask, enter: Enter) -> StudyResult:
    """What became of a study; what nobody foresaw is a failure of that study only.

    A GPU that has failed fails for all that this process will ever ask of it: then the process ends, as if it had died.
    """
    try:
        return worker.process(task, enter)
    except Exception as error:  # noqa: BLE001 - one study may not end the others
        if is_gpu_fault(error):
            enter(Stage.PREDICT)  # it was at work when the GPU failed, though it has just said that it waits
            _LOGGER.warning("a GPU has failed (%s); its process ends, and its studies are begun again", fault(error))
            os._exit(_GPU_FAULT)
        return StudyResult(task.name, task.version, Status.FAILED, f"{fault(error)}; this is a fault of medseg")


def is_gpu_fault(error: Exception) -> bool:
    """Whether CUDA is lost to this process, as after an illegal access; not if only its memory ran out."""
    kinds, text = {kind.__name__ for kind in type(error).__mro__}, str(error)
    is_of_cuda = "AcceleratorError" in kinds or "CUDA error" in text
    return is_of_cuda and "OutOfMemoryError" not in kinds and "out of memory" not in text


def fault(error: Exception) -> str:
    """What nobody foresaw, by its kind and place; its text may quote what nobody may read."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - a name and no path
    return f"unexpected {type(error).__name__} in {where}"
