"""What ``medseg bench`` measured: as a file, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from medseg.inference.latency import Latency
from medseg.inference.machine import MachineFacts
from medseg.inference.timings import STAGES, Stage

_FROM_TO = {
    "volumes": "from the file to the written labels",
    "frames": "from a frame in memory to its labels",
}
_OTHER = "other"
_NEXT_TO_NOTHING = 0.0005


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BenchModel(_Part):
    """What was measured, as it was set up."""

    networks: int
    dims: int
    parameters: int
    """Of all networks together."""
    window: tuple[int, int, int]
    """Voxels that the first network sees at once."""
    device: str
    runtime: str
    precision: str


class BenchInput(_Part):
    """What it was measured on."""

    kind: Literal["volumes", "frames"]
    is_phantom: bool
    count: int
    """Different images; they take turns."""
    shape: tuple[int, ...]
    """Of the first: voxels along its three axes, or rows and columns."""
    spacing_mm: tuple[float, float, float] | None
    """None for frames."""
    channels: int


class BenchFloor(_Part):
    """What the network alone needs: each forward pass by itself, times their number."""

    seconds: float
    """A run."""
    passes: int
    """Forward passes a run; several windows go through one where they make a batch."""
    windows: int
    """Windows a run, mirrored ones and those of further members counted again."""


class BenchMemory(_Part):
    """Largest memory, in MiB."""

    above_start: float | None
    """Resident memory of the process beyond what the loaded model held before the first run; None where the system
    does not tell."""
    is_exact: bool
    """False where the system's mark could not be set back, so that ``above_start`` may be too large."""
    cuda: float | None
    """Allocated on the GPU, weights included; None without one."""


class BenchReport(_Part):
    """How fast a model is on a machine."""

    model: BenchModel
    input: BenchInput
    machine: MachineFacts
    load_s: float
    """Reading the model and putting it onto the device."""
    warm_up: int
    """Runs before the measured ones, which count nowhere."""
    first_s: float
    """The first of them."""
    latency: Latency
    per_second: float
    stages: dict[str, float]
    """Seconds a run by stage; ``other`` is what no stage covers."""
    staged_runs: int
    """Runs that were timed by stage: all of them on a CPU; on a GPU runs of their own, in which it is waited for."""
    floor: BenchFloor
    memory: BenchMemory

    def lines(self) -> list[str]:
        """All but the stages, a line each."""
        runs = (
            f"{self.latency.runs}, after {self.warm_up} to warm up that do not count (the first took "
            f"{_duration(self.first_s)}); loading the model took {_duration(self.load_s)}"
        )
        return [
            f"model: {_model_words(self.model)}",
            f"input: {_input_words(self.input)}",
            f"machine: {self.machine}",
            f"runs: {runs}",
            f"latency, {_FROM_TO[self.input.kind]}: {_latency_words(self.latency)}",
            f"throughput: {self.per_second:.3g} {self.input.kind} a second, one after the other",
            f"floor: {_duration(self.floor.seconds)}, {self._floor_words()}",
            f"peak memory: {_memory_words(self.memory)}",
        ]

    def stage_rows(self) -> list[dict[str, Any]]:
        """Where the time of a run goes, one row a stage; those that took next to nothing are left out."""
        total = max(sum(self.stages.values()), 1e-12)
        return [
            {"stage": name, "seconds": seconds, "%": round(100 * seconds / total, 1)}
            for name, seconds in self.stages.items()
            if seconds > _NEXT_TO_NOTHING * total
        ]

    def _floor_words(self) -> str:
        above = self.latency.mean_s / max(self.floor.seconds, 1e-12)
        windows, passes = _counted(self.floor.windows, "window"), _counted(self.floor.passes, "pass")
        return f"the network alone on {windows} in {passes}; a run takes {above:.2f} times it"


def staged(seconds: Mapping[Stage, float], total_s: float, runs: int) -> dict[str, float]:
    """Seconds a run of each stage, and of what none covers.

    Args:
        seconds: Of all runs, by stage.
        total_s: Wall time of all runs.
        runs: How many there were, at least one.
    """
    other = max(0.0, total_s - sum(seconds.values()))
    return {**{name: seconds.get(name, 0.0) / runs for name in STAGES}, _OTHER: other / runs}


def _model_words(model: BenchModel) -> str:
    networks = _counted(model.networks, "network")
    window = _by(model.window[: model.dims])
    size = f"{model.parameters / 1e6:.3g} million parameters"
    return f"{networks} in {model.dims}D, {size}, window {window}, {model.runtime} {model.precision} on {model.device}"


def _input_words(image: BenchInput) -> str:
    source = "generated" if image.is_phantom else "yours"
    spacing = "" if image.spacing_mm is None else f" of {' x '.join(f'{size:.3g}' for size in image.spacing_mm)} mm"
    channels = "" if image.channels == 1 else f", {image.channels} channels"
    kind = image.kind if image.count != 1 else image.kind.removesuffix("s")
    return f"{image.count} {kind}, {source}, {_by(image.shape)}{spacing}{channels}"


def _latency_words(latency: Latency) -> str:
    named = {"p50": latency.p50_s, "p95": latency.p95_s, "p99": latency.p99_s, "max": latency.max_s}
    figures = ", ".join(f"{name} {_duration(value)}" for name, value in named.items() if value is not None)
    return f"{figures} ({latency.missing})" if latency.missing else figures


def _memory_words(memory: BenchMemory) -> str:
    resident = "not told by this system" if memory.above_start is None else f"{memory.above_start:.0f} MiB"
    bound = "" if memory.is_exact or memory.above_start is None else " at most"
    gpu = "" if memory.cuda is None else f"; {memory.cuda:.0f} MiB on the GPU, weights included"
    return f"{resident}{bound} above the loaded model{gpu}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def _counted(count: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{count} {what}{'' if count == 1 else plural}"


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
