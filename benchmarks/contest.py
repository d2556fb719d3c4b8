"""Contestants in processes of their own that do one job in turn, so that a busy machine troubles all of them alike."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Job = Callable[[], Any]
Make = Callable[[], Job]
"""Imports what is needed and gives the job; a function of a module, or a partial of one."""
Check = Callable[[Any], object]
"""What there is to say of the job's result; its time does not count."""

_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Score:
    """What the job took.

    Attributes:
        cpu_s: Of all threads; the median of the repeats.
        wall_s: Likewise.
        peak_mib: What the process held at most beyond what it held before; the largest of the repeats.
        checked: What was said of the result.
    """

    cpu_s: float
    wall_s: float
    peak_mib: float
    checked: object


def compete(makes: Mapping[str, Make], checks: Mapping[str, Check], repeats: int) -> dict[str, Score | str]:
    """The score of each, or why it has none; the first round does not count but for memory."""
    rivals = {name: _Rival(make) for name, make in makes.items()}
    rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in makes}
    for _ in range(1 + repeats):
        for name, rival in rivals.items():
            if not rival.failure:
                rounds[name].append(rival.run())
    scores: dict[str, Score | str] = {}
    for name, rival in rivals.items():
        checked = rival.check(checks[name]) if not rival.failure else None
        rival.end()
        if rival.failure:
            scores[name] = rival.failure
            continue
        cpu, wall = (statistics.median(one[index] for one in rounds[name][1:]) for index in (0, 1))
        scores[name] = Score(cpu, wall, max(one[2] for one in rounds[name]), checked)
    return scores


class _Rival:
    def __init__(self, make: Make) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, make), daemon=True)
        self._process.start()
        theirs.close()
        self.failure = ""
        self._ask(None)

    def run(self) -> tuple[float, float, float]:
        """CPU and wall seconds, and MiB."""
        found: tuple[float, float, float] = self._ask("run") or (0.0, 0.0, 0.0)
        return found

    def check(self, check: Check) -> object:
        return self._ask(check)

    def end(self) -> None:
        self._pipe.close()
        self._process.join()

    def _ask(self, question: object) -> Any:
        try:
            if question is not None:
                self._pipe.send(question)
            is_answer, answer = self._pipe.recv()
        except (EOFError, OSError):
            is_answer, answer = False, "its process ended"
        self.failure = self.failure if is_answer else str(answer)
        return answer if is_answer else None


def _serve(pipe: Connection, make: Make) -> None:
    with contextlib.suppress(EOFError):
        try:
            job = make()
            pipe.send((True, None))
            result: object = None
            while True:
                question = pipe.recv()
                if question == "run":
                    result = None
                    measured, result = _measured(job)
                    pipe.send((True, measured))
                else:
                    pipe.send((True, question(result)))
        except (EOFError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - a rival may fail in any way, which is a result
            pipe.send((False, f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"))


def _measured(job: Job) -> tuple[tuple[float, float, float], object]:
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _kib("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    result = job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return (cpu, wall, (_kib("VmHWM") - before) / 2**10), result


def _kib(name: str) -> int:
    return int(re.findall(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))[0])
