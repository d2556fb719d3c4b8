"""One run of ``medseg batch``: its command, what its manifest says of the time, and the least that it takes."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.core.case import Case
from medseg.inference.bundle import read_bundle
from medseg.inference.devices import PrecisionName
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings

MEDSEG = Path(sys.executable).with_name("medseg")


@dataclass(frozen=True)
class Places:
    """Where everything lies."""

    bundle: Path
    studies: Path
    output: Path
    key: Path
    log: Path
    device: str = "cpu"
    workers: int = 1

    @property
    def command(self) -> list[str | Path]:
        """The command that is measured."""
        places = [self.bundle, self.studies, "-o", self.output, "--key", self.key]
        return [MEDSEG, "batch", *places, "--device", self.device, "--workers", str(self.workers)]


@dataclass(frozen=True)
class StudyTimes:
    """When a study ended, in seconds since the epoch, and how long it was read, predicted and written."""

    ended: float
    read_s: float
    predict_s: float
    write_s: float


def study_times(output: Path) -> list[StudyTimes]:
    """Of all studies that are done, in the order of their ends."""
    with contextlib.closing(sqlite3.connect(output / "manifest.sqlite")) as connection:
        query = "SELECT ended, read_s, predict_s, write_s FROM studies WHERE status = 'done' ORDER BY ended"
        return [StudyTimes(*row) for row in connection.execute(query)]


def before_first(times: Sequence[StudyTimes], begun: float) -> float:
    """Seconds from the start of the command to that of its first study: imports, finding, the model."""
    first = times[0]
    return first.ended - first.read_s - first.predict_s - first.write_s - begun


def predictor_times(folder: Path, cases: Sequence[Case], precision: PrecisionName = "auto") -> tuple[float, float]:
    """Median seconds of the predictor on volumes in memory, and of the network in it.

    Each is predicted once, the first once more before, which warms up and does not count.
    """
    bundle = read_bundle(folder)
    predictor = Predictor(bundle, PredictionSettings(device="cpu", precision=precision))
    moments: list[float] = []
    bundle.members[0].network.register_forward_pre_hook(lambda *_: moments.append(-time.perf_counter()))
    bundle.members[0].network.register_forward_hook(lambda *_: moments.append(time.perf_counter()))
    whole, network = [], []
    for case in (cases[0], *cases):
        moments.clear()
        begun = time.perf_counter()
        predictor.predict(case.image)
        whole.append(time.perf_counter() - begun)
        network.append(sum(moments))
    return statistics.median(whole[1:]), statistics.median(network[1:])
