"""A command with all its processes: started, measured while it runs, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Sample:
    """What a tree of processes held at one moment.

    Attributes:
        at: Seconds since the epoch.
        pss: Bytes, pages that several processes share counted by share, those of others on the machine too.
        uss: Bytes that no other process has.
    """

    at: float
    pss: int
    uss: int


class ProcessTree:
    """A command in a process group of its own.

    Args:
        command: Program and arguments.
        log: What it prints, appended.
    """

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.begun = time.time()
        with log.open("ab") as stream:
            self._process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
        self._root = psutil.Process(self._process.pid)

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def samples(self, every_s: float) -> list[Sample]:
        """What it holds, until it ends."""
        found: list[Sample] = []
        while self.code is None:
            found.append(self.sample())
            time.sleep(every_s)
        return found

    def sample(self) -> Sample:
        """What all its processes hold now."""
        pss = uss = 0
        at = time.time()
        for process in self.members():
            with contextlib.suppress(psutil.Error, OSError):
                memory = process.memory_full_info()
                pss, uss = pss + memory.pss, uss + memory.uss
        return Sample(at, pss, uss)

    def members(self) -> list[psutil.Process]:
        """Its processes."""
        with contextlib.suppress(psutil.Error):
            return [self._root, *self._root.children(recursive=True)]
        return []

    def kill(self, *, whole: bool) -> list[psutil.Process]:
        """Kill the first process, or all at once; gives the others that there were."""
        others = self.members()[1:]
        if whole:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        return others


def running(processes: Sequence[psutil.Process]) -> int:
    """How many are alive; a zombie is not."""
    return sum(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def on_cores(count: int) -> int:
    """Keep this process and all that it starts on so many cores; how many there are, if fewer."""
    mine = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, mine)
    return len(mine)
