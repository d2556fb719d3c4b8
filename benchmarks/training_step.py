"""Time of one training step beside its floor, by precision and width; calibrates medseg/planning/cost.py.

    python benchmarks/training_step.py                       # on the CPU
    python benchmarks/training_step.py --device cuda --patch 128 128 128
    python benchmarks/training_step.py --options compile=on  # only some of the options

The floor is the network alone: forward and backward on data in memory, neither compiled nor laid out anew. A step on
data in memory adds the loss, the optimizer and the averaged weights; the whole step also draws and augments its
patches, so that the difference of the last two is what the data pipeline costs. Blocks of steps of the three are timed
in turn; the first block of each is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from record import record, table

from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.geometry import Geometry, Shape
from medseg.data.cache import PreparedArrays, foreground_voxels
from medseg.data.loaders import Batch, PatchLoader
from medseg.inference.bundle import output_channels
from medseg.inference.devices import autocast_dtype, has_bf16
from medseg.losses.build import build_loss
from medseg.planning.cost import forward_macs
from medseg.training.assemble import new_loader, new_state
from medseg.training.distributed import Process
from medseg.training.execution import repeatable
from medseg.training.step import Stepper

OPTIONS = ("none", "workers=1", "workers=2", "accumulate=2", "channels_last=true", "deterministic=true", "compile=on")
ON_GPUS = ("workers=4", "workers=8", "compile=graphs")


@dataclass(frozen=True)
class Times:
    """Median seconds a batch."""

    network: float
    in_memory: float
    whole: float


def main() -> None:
    arguments = _arguments()
    device = torch.device(arguments.device)
    precisions = ["fp32", *(["bf16"] if has_bf16(device) else [])]
    rows = [_width_row(arguments, width, precision) for width in arguments.features for precision in precisions]
    record("training_step", table(rows))
    options = [_option_row(arguments, option, precisions[-1]) for option in arguments.options]
    if options:
        record("training_step_options", table(options))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="blocks of each")
    parser.add_argument("--steps", type=int, default=5, help="steps a block")
    parser.add_argument("--features", type=int, nargs="+", default=[16, 24, 32])
    parser.add_argument("--patch", type=int, nargs=3, default=[40, 56, 40])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--options", nargs="*", help="of training, each measured by itself")
    arguments = parser.parse_args()
    if arguments.options is None:
        arguments.options = [*OPTIONS, *(ON_GPUS if arguments.device == "cuda" else ())]
    return arguments


def _width_row(arguments: argparse.Namespace, width: int, precision: str) -> dict[str, object]:
    config = _config(arguments, width, precision, "none")
    times = _times(config, arguments)
    rate = 3 * arguments.batch * forward_macs(config.network, config.sampling.patch, 1) / times.network / 1e9
    return {
        "features": f"{width} to {8 * width}",
        "precision": precision,
        "network s": f"{times.network:.3f}",
        "step on data in memory s": f"{times.in_memory:.3f}",
        "step s": f"{times.whole:.3f}",
        **_overheads(times, times.network),
        "10⁹ MAC/s": f"{rate:.0f}",
    }


def _option_row(arguments: argparse.Namespace, option: str, precision: str) -> dict[str, object]:
    times = _times(_config(arguments, arguments.features[-1], precision, option), arguments)
    return {
        "option": f"training.{option}" if "=" in option else option,
        "network s": f"{times.network:.3f}",
        "step on data in memory s": f"{times.in_memory:.3f}",
        "step s": f"{times.whole:.3f}",
        **_overheads(times, times.network),
    }


def _overheads(times: Times, floor: float) -> dict[str, str]:
    return {
        "data overhead %": f"{100 * (times.whole - times.in_memory) / floor:.1f}",
        "whole overhead %": f"{100 * (times.whole / floor - 1):.1f}",
    }


def _times(config: RunConfig, arguments: argparse.Namespace) -> Times:
    device = torch.device(arguments.device)
    process, scheme = Process(0, 1, device), label_scheme(config.labels)
    dtype, training = autocast_dtype(device, config.training.precision), config.training
    outputs = output_channels(scheme)
    state = new_state(config, outputs, process, dtype)
    plain = new_state(config, outputs, process, dtype).network.train()
    loss = build_loss(config.loss, exclusive=scheme.is_exclusive, deep_supervision=True).to(device)
    stepper = Stepper(process, training, loss, state, dtype)
    batches = _batches(new_loader(config, _cases(config.sampling.patch), process), training.accumulate)
    kept = next(batches)
    image = kept[0].image.to(device)

    def network_alone() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = plain(image)
        sum(level.float().mean() for level in logits).backward()

    with repeatable(wanted=training.deterministic):
        runs = (network_alone, lambda: stepper.step(kept), lambda: stepper.step(next(batches)))
        network, in_memory, whole = _interleaved(runs, arguments, device)
    return Times(network, in_memory / training.accumulate, whole / training.accumulate)


def _interleaved(
    runs: tuple[Callable[[], object], ...], arguments: argparse.Namespace, device: torch.device
) -> list[float]:
    """Median seconds of each, timed by blocks in turn."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(arguments.repeats + 1):
        for run, kept in zip(runs, times, strict=True):
            _finish(device)
            start = time.perf_counter()
            for _ in range(arguments.steps):
                run()
            _finish(device)
            if turn:
                kept.append((time.perf_counter() - start) / arguments.steps)
    return [statistics.median(kept) for kept in times]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _batches(loader: PatchLoader, together: int) -> Iterator[list[Batch]]:
    for epoch in range(10**9):
        loader.set_epoch(epoch)
        iterator = iter(loader)
        while group := list(islice(iterator, together)):
            yield group


def _cases(patch: Shape) -> list[PreparedArrays]:
    """Four cases a little larger than a patch."""
    cases = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        target = rng.integers(0, 3, [round(0.9 * n) + 8 for n in patch]).astype(np.uint8)
        image = rng.standard_normal((1, *target.shape)).astype(np.float32)
        i, j, k = target.shape
        grid = Geometry.from_spacing((i, j, k))
        cases.append(PreparedArrays(CaseId(str(seed)), image, target, foreground_voxels(target, 2), grid, grid))
    return cases


def _config(arguments: argparse.Namespace, width: int, precision: str, option: str) -> RunConfig:
    name, _, value = option.partition("=")
    changes = {name: value} if value else {}
    return RunConfig.model_validate(
        {
            "name": "step",
            "data": {"folder": Path(tempfile.gettempdir())},
            "channels": [{"name": "MRI"}],
            "labels": {"structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}]},
            "preprocessing": {},
            "network": {
                "name": "unet",
                "dims": 3,
                "features": [width * 2**level for level in range(4)],
                "strides": [[1, 1, 1], *[[2, 2, 2]] * 3],
                "kernels": [[3, 3, 3]] * 4,
            },
            "sampling": {"patch": arguments.patch, "batch": arguments.batch},
            "training": {"budget": {"epochs": 1, "steps": 100}, "precision": precision, "workers": 0} | changes,
            "device": arguments.device,
        }
    )


if __name__ == "__main__":
    main()
