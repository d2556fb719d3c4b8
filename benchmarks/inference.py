"""Predicting one CT, from file to file, on the CPU: medseg beside MONAI, TorchIO and nnU-Net.

    pip install 'medseg[openvino]' torchio && pip install --no-deps dynamic-network-architectures
    python benchmarks/inference.py --nnunet-python /tmp/nnunet-venv/bin/python
    python -m venv /tmp/nnunet-venv && /tmp/nnunet-venv/bin/pip install nnunetv2 torch==2.13.0    # makes it

Every engine is given the same module (nnU-Net's own PlainConvUNet), the same weights, the same file, the same window
and half of it as overlap; nobody mirrors. The volume is a phantom torso at the network's spacing, so nothing is
resampled. The network is trained for a minute first, as one with random weights is near a tie everywhere. Each run is a
process of its own, in turn, ``--rounds`` times; loading packages and weights is not counted. Equal labels are those of
a sum over all windows in double precision (windows and weights as ours; TorchIO and MONAI weigh otherwise, nnU-Net
averages logits in half precision). The floor is the engine's own network time; what an engine adds is the rest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from inference_network import Turned, network_of, plain_unet
from inference_run import Bench
from numpy.typing import NDArray
from record import record, table
from safetensors.torch import save_model
from torch.nn import functional as F

from medseg.core.case import Case
from medseg.core.volume import LabelMap
from medseg.inference.bundle_files import RECORD
from medseg.inference.network import weights_digest
from medseg.inference.openvino_int8 import Int8Record, int8_versions, quantised
from medseg.inference.openvino_model import openvino_model, save_openvino
from medseg.io.formats import write_volume
from medseg.phantom.bodies import TORSO, torso

SPACING = (1.5, 1.5, 2.5)
ORIENTATION = "LPS"


@dataclass(frozen=True)
class Way:
    """An engine and its settings; the first of all is what others are compared to."""

    name: str
    engine: str
    settings: dict[str, Any] = field(default_factory=dict)


WAYS = (
    Way("medseg, torch fp32", "medseg", {"precision": "fp32", "runtime": "torch", "skip_air": False}),
    Way("MONAI SlidingWindowInferer, fp32", "monai"),
    Way("TorchIO GridSampler, fp32", "torchio"),
    Way("nnU-Net 2.8.1 predictor, fp32", "nnunet"),
    Way("medseg, torch bf16, body only", "medseg", {"precision": "bf16", "runtime": "torch", "skip_air": True}),
    Way("medseg, OpenVINO fp32, body only", "medseg", {"precision": "fp32", "runtime": "openvino", "skip_air": True}),
    Way("medseg, OpenVINO bf16, body only", "medseg", {"precision": "bf16", "runtime": "openvino", "skip_air": True}),
    Way("medseg, OpenVINO int8, body only", "medseg", {"precision": "int8", "runtime": "openvino", "skip_air": True}),
)
WINDOWS_FOR_INT8 = 8


def main() -> None:
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    case = torso(0, tuple(options.shape), SPACING)
    task = task_of(options, case, SPACING)
    ways = [way for way in WAYS if not options.only or way.name in options.only]
    if any(way.settings.get("precision") == "int8" for way in ways):
        task["int8"] = integers_of(options.output / "int8", task, case)
    bench = Bench(options.output, options.nnunet_python)
    bench.run("reference", task, "reference")
    reference = _labels(bench.labels("reference"))
    found: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
    equal: dict[str, float] = {}
    for _ in range(options.rounds):
        for way in ways:
            name = "".join(letter if letter.isalnum() else "-" for letter in way.name)
            result = bench.run(way.engine, task | {"settings": way.settings}, name)
            found[way.name].append(result)
            equal[way.name] = float((_labels(bench.labels(name)) == reference).mean())
            print(way.name, {name: round(value, 2) for name, value in result.items()}, f"{equal[way.name]:.5%}")
    rows = [_row(way, found[way.name], equal[way.name], found[ways[0].name]) for way in ways]
    size = " x ".join(map(str, options.shape))
    title = f"{size} voxels, window {' x '.join(map(str, options.window))}, {len(TORSO.structures)} structures, "
    record("inference", f"{title}{options.features} features, {options.rounds} rounds\n\n" + table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet-python", type=Path, help="Python of an environment with nnunetv2")
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 128))
    parser.add_argument("--window", type=int, nargs=3, default=(128, 128, 64))
    parser.add_argument("--features", type=int, nargs="+", default=[32, 64, 128, 256, 320])
    parser.add_argument("--steps", type=int, default=60, help="of training, before anything is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], help="names of rows")
    parser.add_argument("--output", type=Path, default=Path("runs/inference"))
    return parser.parse_args()


def task_of(options: argparse.Namespace, case: Case, spacing: tuple[float, float, float]) -> dict[str, Any]:
    """What every engine is told; the image and the weights lie in files."""
    image, weights = options.output / "case_0000.nii.gz", options.output / "weights.safetensors"
    write_volume(image, case.image)
    inside = case.image.array[0][case.label.array > 0] if isinstance(case.label, LabelMap) else np.zeros(1)
    low, high = np.percentile(inside, (0.5, 99.5))
    clipped = np.clip(inside, low, high)
    task = {
        "image": str(image), "weights": str(weights), "threads": torch.get_num_threads(),
        "features": options.features, "outputs": 1 + len(TORSO.structures), "window": options.window,
        "shape": options.shape, "spacing": spacing, "network_spacing": spacing, "orientation": ORIENTATION,
        "low": float(low), "high": float(high), "mean": float(clipped.mean()), "std": float(clipped.std()),
    }  # fmt: skip
    known = options.output / "weights.json"
    if not known.exists() or json.loads(known.read_text(encoding="utf-8")) != [options.features, options.steps]:
        _train(task, case, options.steps)
        known.write_text(json.dumps([options.features, options.steps]), encoding="utf-8")
    return task


def _train(task: dict[str, Any], case: Case, steps: int) -> None:
    """Some steps on random parts of the volume: enough for sure answers, not for a good model."""
    if not isinstance(case.label, LabelMap):
        raise TypeError("a torso has a label map")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = plain_unet(task["features"], task["outputs"]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    image = _normalised(task, case).T
    label = case.label.array.T.astype(np.int64)
    started, loss = time.perf_counter(), torch.tensor(float("nan"))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        corner = [int(rng.integers(0, max(1, n - 64 + 1))) for n in image.shape]
        box = tuple(slice(first, first + 64) for first in corner)
        patch, target = (torch.from_numpy(np.ascontiguousarray(array[box]))[None] for array in (image, label))
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(patch[None])
        loss = F.cross_entropy(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"trained {steps} steps in {time.perf_counter() - started:.0f} s, last loss {loss.item():.3f}")
    save_model(network, task["weights"])


def integers_of(folder: Path, task: dict[str, Any], case: Case) -> str:
    """Where the network in 8-bit integers lies, fitted to windows of the volume that it was trained on."""
    shape = (1, 1, *task["window"])
    network = Turned(network_of(task)).eval()
    image = _normalised(task, case)
    rng, windows = np.random.default_rng(0), []
    for _ in range(WINDOWS_FOR_INT8):
        corner = [int(rng.integers(0, n - size + 1)) for n, size in zip(image.shape, task["window"], strict=True)]
        box = tuple(slice(first, first + size) for first, size in zip(corner, task["window"], strict=True))
        windows.append(np.ascontiguousarray(image[box])[np.newaxis])
    folder.mkdir(parents=True, exist_ok=True)
    save_openvino(quantised(openvino_model(network, shape), windows), folder)
    counted = {"windows": len(windows), "training_cases": 1, "held_out_cases": 0, "versions": int8_versions()}
    unknown = {"dice": 0.0, "dice_int8": 0.0, "equal_voxels": 0.0}  # the table says how equal the labels are
    made = Int8Record(weights=weights_digest(network), shape=shape, **counted, **unknown)
    (folder / RECORD).write_text(made.model_dump_json(), encoding="utf-8")
    return str(folder)


def _normalised(task: dict[str, Any], case: Case) -> NDArray[np.float32]:
    """The image as the network is given it, ``(x, y, z)``."""
    image = np.clip(case.image.array[0].astype(np.float32), task["low"], task["high"])
    return (image - np.float32(task["mean"])) / np.float32(task["std"])


def _labels(path: Path) -> np.ndarray:
    array = np.asarray(nib.load(path).dataobj)
    return array.reshape(array.shape[:3])


def _row(way: Way, runs: Sequence[dict[str, float]], equal: float, first: Sequence[dict[str, float]]) -> dict[str, Any]:
    def middle(values: list[float]) -> float:
        return statistics.median(values)

    rest = [one["seconds"] - one["network_s"] for one in runs]
    return {
        "engine": way.name,
        "wall": f"{middle([one['seconds'] for one in runs]):.1f} s",
        "network (floor)": f"{middle([one['network_s'] for one in runs]):.1f} s",
        "windows": round(runs[0]["windows"]),
        "the rest": f"{middle(rest):.2f} s",
        "share": f"{middle([part / one['seconds'] for part, one in zip(rest, runs, strict=True)]):.1%}",
        "over the first row": f"{middle([a['seconds'] / b['seconds'] for a, b in zip(runs, first, strict=True)]):.2f}",
        "memory above the loaded engine": f"{max(one['peak_mib'] for one in runs):.0f} MiB",
        "labels as in double precision": f"{equal:.4%}",
    }


if __name__ == "__main__":
    main()
