"""Time of one training step beside its floor, by precision and width; calibrates medseg/planning/cost.py.

    python benchmarks/training_step.py

The floor is the network alone (forward and backward on data in memory); the step adds drawing and augmenting patches,
the loss, the optimizer and the averaged weights.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from record import record, table

from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.geometry import Geometry
from medseg.data.cache import PreparedArrays, foreground_voxels
from medseg.inference.devices import autocast_dtype, has_bf16
from medseg.losses.build import build_loss
from medseg.planning.cost import forward_macs
from medseg.training.assemble import new_loader, new_state
from medseg.training.distributed import Process

PATCH = (40, 56, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    precisions = ["fp32", *(["bf16"] if has_bf16(torch.device("cpu")) else [])]
    rows = [_row(base, precision, repeats) for base in (16, 24, 32) for precision in precisions]
    record("training_step", table(rows))


def _row(base: int, precision: str, repeats: int) -> dict[str, object]:
    config = _config(base, precision)
    process = Process(0, 1, torch.device("cpu"))
    scheme, dtype = label_scheme(config.labels), autocast_dtype(process.device, config.training.precision)
    state = new_state(config, scheme, process, dtype)
    loss = build_loss(config.loss, scheme.is_exclusive, None, deep_supervision=True)
    batches = iter(new_loader(config, [_case(seed) for seed in range(4)], process))
    image, _ = next(batches)

    def network_alone() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = state.network(image)
        sum(level.float().mean() for level in logits).backward()

    def whole_step() -> None:
        patches, targets = next(batches)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = state.network(patches)
        loss(logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), 12)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.average.update(state.network)

    floor, step = _interleaved(network_alone, whole_step, repeats)
    rate = 3 * config.sampling.batch * forward_macs(config.network, PATCH, 1) / floor / 1e9
    return {
        "features": f"{base} to {8 * base}",
        "precision": precision,
        "network s": f"{floor:.3f}",
        "step s": f"{step:.3f}",
        "overhead %": f"{100 * (step / floor - 1):.1f}",
        "10⁹ MAC/s": f"{rate:.0f}",
    }


def _interleaved(one: Callable[[], None], other: Callable[[], None], repeats: int) -> tuple[float, float]:
    """Median seconds of both, run in turn after one warm-up each."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for run, kept in zip((one, other), times, strict=True):
            start = time.perf_counter()
            run()
            if turn:
                kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _case(seed: int) -> PreparedArrays:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, (35, 50, 36)).astype(np.uint8)
    image = rng.standard_normal((1, *target.shape)).astype(np.float32)
    grid = Geometry.from_spacing(target.shape)
    return PreparedArrays(CaseId(str(seed)), image, target, foreground_voxels(target, 2), grid)


def _config(base: int, precision: str) -> RunConfig:
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
                "features": [base * 2**level for level in range(4)],
                "strides": [[1, 1, 1], *[[2, 2, 2]] * 3],
                "kernels": [[3, 3, 3]] * 4,
            },
            "sampling": {"patch": PATCH, "batch": 2},
            "training": {"budget": {"epochs": 1, "steps": 100}, "precision": precision},
            "device": "cpu",
        }
    )


if __name__ == "__main__":
    main()
