"""A CT of 512 x 512 x 300 on two CPU cores: windows times the time of one, and everything else.

    pip install 'medseg[openvino]' && pip install --no-deps dynamic-network-architectures
    python benchmarks/large_ct.py --nnunet-python /tmp/nnunet-venv/bin/python

So large a prediction takes hours in float32, so it is put together of measured parts: how many windows each engine
looks at (nnU-Net all, ours those with a body in them), the time of one window on each runtime (in turn, ``--rounds``
times, nnU-Net's own class everywhere), and all the rest from file to file with a network that costs nothing. The volume
is a phantom torso; how many windows are left depends on how much air is around a body.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from inference import integers_of, task_of
from inference_engines import bundle_of
from inference_network import Turned, network_of
from inference_run import Bench
from record import record, table

from medseg.inference.devices import autocast_dtype
from medseg.inference.runner import Runner
from medseg.inference.runtime import make_runner
from medseg.inference.settings import PredictionSettings
from medseg.phantom.bodies import torso

SPACING = (0.8, 0.8, 1.0)
CPU = torch.device("cpu")
THEIRS = "nnU-Net 2.8.1, torch fp32"
OURS = {
    "medseg, torch fp32": PredictionSettings("cpu", "fp32", runtime="torch"),
    "medseg, torch bf16": PredictionSettings("cpu", "bf16", runtime="torch"),
    "medseg, OpenVINO fp32": PredictionSettings("cpu", "fp32", runtime="openvino"),
    "medseg, OpenVINO bf16": PredictionSettings("cpu", "bf16", runtime="openvino"),
    "medseg, OpenVINO int8": PredictionSettings("cpu", "int8", runtime="openvino"),
}


def main() -> None:
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    case = torso(0, tuple(options.shape), SPACING)
    task = task_of(options, case, SPACING)
    task["int8"] = integers_of(options.output / "int8", task, case)
    bench, instant = Bench(options.output, options.nnunet_python), task | {"features": []}
    settings = {"skip_air": True, "runtime": "torch", "precision": "fp32"}
    around = {
        "nnunet": bench.run("nnunet", instant, "nnunet"),
        "medseg": bench.run("medseg", instant | {"settings": settings}, "medseg"),
    }
    windows = _window_times(task, options.rounds)
    rows = [_row(THEIRS, around["nnunet"], windows["medseg, torch fp32"])]
    rows += [_row(name, around["medseg"], seconds) for name, seconds in windows.items()]
    whole = [row.pop("seconds") for row in rows]
    for row, seconds in zip(rows, whole, strict=True):
        row["nnU-Net takes"] = f"{whole[0] / seconds:.1f} times as long"
    size = " x ".join(map(str, options.shape))
    title = f"{size} voxels, window {' x '.join(map(str, options.window))}, {options.features} features"
    record("inference-large", f"{title}\n\n" + table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet-python", type=Path, required=True, help="Python of an environment with nnunetv2")
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 300])
    parser.add_argument("--window", type=int, nargs=3, default=[128, 128, 64])
    parser.add_argument("--features", type=int, nargs="+", default=[32, 64, 128, 256, 320])
    parser.add_argument("--steps", type=int, default=0, help="of training; the time of a window does not need any")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("runs/large_ct"))
    return parser.parse_args()


def _window_times(task: dict[str, Any], rounds: int) -> dict[str, float]:
    """Median seconds of one window by runtime, each in turn."""
    member = bundle_of(task, Turned(network_of(task)).eval()).members[0]
    runners: dict[str, Runner] = {}
    for name, settings in OURS.items():
        dtype = autocast_dtype(CPU, settings.precision)
        runners[name] = make_runner(member, tuple(task["window"]), settings, CPU, dtype)
    window = torch.randn(1, 1, *task["window"])
    times: dict[str, list[float]] = {name: [] for name in runners}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, runner in runners.items():
                started = time.perf_counter()
                runner(window)
                if number:  # the first warms up
                    times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _row(name: str, around: dict[str, Any], window_s: float) -> dict[str, Any]:
    rest = around["seconds"] - around["network_s"]
    whole = around["windows"] * window_s + rest
    return {
        "engine": name,
        "windows": around["windows"],
        "one window": f"{window_s:.2f} s",
        "network (floor)": f"{around['windows'] * window_s / 60:.1f} min",
        "the rest": f"{rest:.1f} s",
        "whole": f"{whole / 60:.1f} min",
        "seconds": whole,
    }


if __name__ == "__main__":
    main()
