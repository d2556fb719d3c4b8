"""Tasks for worker processes, in a module that those can import."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path


def double(task, tick):
    tick()
    tick()
    warnings.warn("a library quotes what it read: DOE", stacklevel=1)
    return 2 * task


def die_or_double(task, tick):
    """Dies for -1, and the first time for -2."""
    number, folder = task
    if number == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -2 and not (folder / "tried").exists():
        (folder / "tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    tick()
    return 2 * number


def fail(task, tick):
    raise ValueError(f"task {task} says no")


def sleep(task, tick):
    Path(task).touch()
    time.sleep(60)
