"""``medseg bench``: how fast a model is on this machine, and where its time goes."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from medseg.core.memory import PeakMemory
from medseg.core.progress import SILENT, Progress
from medseg.inference.bundle import Bundle, read_bundle
from medseg.inference.devices import autocast_dtype, resolve_device
from medseg.inference.latency import Latency
from medseg.inference.machine import MachineFacts
from medseg.inference.passes import Pass
from medseg.inference.runtime import device_for, runtime_of
from medseg.inference.settings import PredictionSettings
from medseg.inference.timings import Timings

from .bench_jobs import BenchOptions, Job, Workplace, make_job
from .bench_report import BenchFloor, BenchMemory, BenchModel, BenchReport, staged

_MIB = 2**20
_STAGED_SHARE = 3
_SLOW_S = 2.0  # longer runs tell how far they are
_PRECISIONS = {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def bench(bundle: Path, options: BenchOptions | None = None, progress: Progress = SILENT) -> BenchReport:
    """Predict images again and again; latency, throughput, memory, and where the time goes.

    A volume's run goes from the file to the written labels; a frame's from the array to its labels, as in a stream.

    Args:
        bundle: Folder of the model.
        options: What to measure, and for how long.
        progress: Told how far it is.

    Raises:
        BundleError: If the model cannot be read.
        InputError: If the options contradict each other, or the input is not there or does not fit the model.
        DataError: If the input cannot be read.
    """
    options = options or BenchOptions()
    options.check()
    started = time.perf_counter()
    model, device = read_bundle(bundle), resolve_device(device_for(options.settings))
    read_s = time.perf_counter() - started
    timings = Timings(device)
    with tempfile.TemporaryDirectory(prefix="medseg-bench-") as folder:
        job = make_job(Workplace(model, options, timings, Path(folder), progress))
        memory = _Memory(device)
        runs = _measured(job, options, timings, progress)
        peak = memory.peak()
    latency = Latency.of(runs.seconds)
    report = BenchReport(
        model=_model(model, job.passes(), device, options.settings),
        input=job.image,
        machine=MachineFacts.of(device, ("openvino", "onnxruntime")),
        load_s=read_s + job.set_up_s,
        warm_up=job.warm_up,
        first_s=runs.first_s,
        latency=latency,
        per_second=latency.per_second,
        stages=staged(timings.seconds, runs.staged_s, runs.staged),
        staged_runs=runs.staged,
        floor=_floor(timings, runs.staged, progress),
        memory=peak,
    )
    progress.finish()
    return report


@dataclass(frozen=True)
class _Runs:
    """What was timed: all runs that count, and those of them, or others, that were timed by stage."""

    first_s: float
    seconds: list[float]
    staged: int
    staged_s: float


@dataclass(frozen=True)
class _Told:
    """Who is told of the steps inside a run, and who of the runs."""

    inside: Progress
    outside: Progress


class _Memory:
    """Watches the memory of the process and of the GPU from now on."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._resident = device, PeakMemory()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def peak(self) -> BenchMemory:
        above = self._resident.above_start()
        on_gpu = torch.cuda.max_memory_allocated(self._device) / _MIB if self._device.type == "cuda" else None
        above_mib = None if above is None else above / _MIB
        return BenchMemory(above_start=above_mib, is_exact=self._resident.is_exact, cuda=on_gpu)


def _measured(job: Job, options: BenchOptions, timings: Timings, progress: Progress) -> _Runs:
    """Warm up, then run until there are enough runs.

    Where the device works behind the processor, stages are timed in runs of their own, as they make it wait.
    """
    is_at_once = timings.device.type == "cpu"
    timings.is_on = False
    progress.start("warming up", job.warm_up)
    warm = [_timed(job, number, _Told(progress, SILENT if job.tells else progress)) for number in range(job.warm_up)]
    is_slow = job.tells and warm[0] > _SLOW_S
    told = _Told(progress, SILENT) if is_slow else _Told(SILENT, progress)
    timings.is_on = is_at_once
    seconds = _repeated(job, options, told)
    if is_at_once:
        return _Runs(warm[0], seconds, len(seconds), sum(seconds))
    timings.is_on = True
    count = max(1, len(seconds) // _STAGED_SHARE)
    told.outside.start("by stage", count)
    return _Runs(warm[0], seconds, count, sum(_timed(job, number, told) for number in range(count)))


def _repeated(job: Job, options: BenchOptions, told: _Told) -> list[float]:
    """Seconds of each run: of as many as were asked for, or of those that begin within the time, at least one."""
    if options.repeats is not None:
        told.outside.start("measuring", options.repeats)
        return [_timed(job, number, told) for number in range(options.repeats)]
    told.outside.start("measuring, in seconds", round(options.seconds))
    seconds: list[float] = []
    shown, until = 0, time.perf_counter() + options.seconds
    while not seconds or time.perf_counter() < until:
        seconds.append(_timed(job, len(seconds), _Told(told.inside, SILENT)))
        passed = int(min(options.seconds, sum(seconds)))
        told.outside.advance(passed - shown)
        shown = passed
    return seconds


def _timed(job: Job, number: int, told: _Told) -> float:
    started = time.perf_counter()
    job.run(number, told.inside)
    seconds = time.perf_counter() - started
    told.outside.advance()
    return seconds


def _floor(timings: Timings, runs: int, progress: Progress) -> BenchFloor:
    passes = sum(timings.calls.values())
    windows = sum(count * shape[0] for (_, shape), count in timings.calls.items())
    return BenchFloor(
        seconds=timings.floor_s(progress) / runs, passes=round(passes / runs), windows=round(windows / runs)
    )


def _model(model: Bundle, passes: tuple[Pass, ...], device: torch.device, settings: PredictionSettings) -> BenchModel:
    networks = [member.network for member in model.members]
    return BenchModel(
        networks=len(networks),
        dims=model.config.network.dims,
        parameters=sum(tensor.numel() for network in networks for tensor in network.parameters()),
        window=passes[0].window.roi,
        device=str(device),
        runtime=", ".join(sorted({runtime_of(runner) for one in passes for runner in one.runners})),
        precision=_precision(device, settings),
    )


def _precision(device: torch.device, settings: PredictionSettings) -> str:
    if settings.precision == "int8" or settings.runtime == "onnx":
        return "int8" if settings.precision == "int8" else "fp32"
    return _PRECISIONS[autocast_dtype(device, settings.precision)]
