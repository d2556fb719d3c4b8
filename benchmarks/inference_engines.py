"""One engine predicts one file once, in a process of its own; for ``benchmarks/inference.py``.

    PYTHON benchmarks/inference_engines.py ENGINE TASK.json RESULT.json

From an image file to a file of labels: reading, normalising, sliding, deciding, writing. Loading packages and weights
comes before the clock starts.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inference_network import Timed, Turned, architecture, network_of
from torch import nn

Task = dict[str, Any]
Job = Callable[[], tuple[float, int]]
"""Predicts; gives the seconds in the network, and how many windows it saw."""
OVERLAP = 0.5


def main() -> None:
    engine, task = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    if "limit_gib" in task:
        resource.setrlimit(resource.RLIMIT_AS, (task["limit_gib"] * 2**30,) * 2)
    job = ENGINES[engine](task, network_of(task))
    loaded = _resident_mib("VmRSS")
    started, cpu = time.perf_counter(), time.process_time()
    network_s, windows = job()
    result = {
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "network_s": network_s,
        "windows": windows,
        "peak_mib": _resident_mib("VmHWM") - loaded,
    }
    Path(sys.argv[3]).write_text(json.dumps(result), encoding="utf-8")


def _medseg(task: Task, network: nn.Module) -> Job:
    from medseg.inference.predictor import Predictor
    from medseg.inference.settings import PredictionSettings
    from medseg.inference.timings import Timings
    from medseg.io.formats import read_volume, write_labels

    timings = Timings(torch.device("cpu"))
    settings = PredictionSettings(device="cpu", **task["settings"])
    predictor = Predictor(bundle_of(task, Turned(network).eval()), settings, timings)

    def job() -> tuple[float, int]:
        labels = predictor.predict(read_volume(Path(task["image"]))).labels
        write_labels(Path(task["output"]), labels)
        return timings.seconds["network"], sum(count * shape[0] for (_, shape), count in timings.calls.items())

    return job


def bundle_of(task: Task, network: nn.Module) -> Any:
    """A bundle of ours around the network."""
    from medseg.config.schemes import label_scheme
    from medseg.config.sections import RunConfig
    from medseg.inference.bundle import Bundle, TrainingFacts

    low, high, mean, std = (task[name] for name in ("low", "high", "mean", "std"))
    config = RunConfig.model_validate(
        {
            "name": "engines",
            "data": {"folder": "."},
            "channels": [{"name": "CT", "intensity": "ct", "clip": (low, high), "mean": mean, "std": std}],
            "labels": {"structures": [{"name": f"part {n}", "value": n} for n in range(1, task["outputs"])]},
            "preprocessing": {"orientation": task["orientation"], "spacing": task["network_spacing"]},
            "network": {"name": "own", "dims": 3, "factors": [16] * 3},
            "sampling": {"patch": task["window"]},
            "inference": {"overlap": OVERLAP, "mirror": False},
            "training": {"budget": {"epochs": 1}},
        }
    )
    whole = tuple(a * b for a, b in zip(task["shape"], task["spacing"], strict=True))
    facts = TrainingFacts(
        modalities=("CT",), spacing_min=task["spacing"], spacing_max=task["spacing"], extent_min_mm=whole,
        extent_max_mm=whole,
    )  # fmt: skip
    bundle = Bundle.single(config, label_scheme(config.labels), network, facts)
    integers = Path(task["int8"]) if "int8" in task else None
    return replace(bundle, members=tuple(replace(member, int8=integers) for member in bundle.members))


def _monai(task: Task, network: nn.Module) -> Job:
    from monai.data import MetaTensor
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import (
        AsDiscreted,
        Compose,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        SaveImaged,
        ScaleIntensityRanged,
        Spacingd,
    )

    low, high = task["low"], task["high"]
    ends = [(value - task["mean"]) / task["std"] for value in (low, high)]
    resampled = task["network_spacing"] != task["spacing"]
    read = [LoadImaged("image"), EnsureChannelFirstd("image")]
    spaced = [Spacingd("image", pixdim=task["network_spacing"])] if resampled else []
    before = Compose([*read, *spaced, ScaleIntensityRanged("image", low, high, ends[0], ends[1], clip=True)])
    back = [Invertd("pred", before, orig_keys="image", nearest_interp=False, to_tensor=True)] if resampled else []
    output = Path(task["output"])
    save = SaveImaged(
        "pred", output_dir=output.parent, output_postfix="", output_ext=".nii.gz", output_dtype=np.uint8,
        resample=False, separate_folder=False, print_log=False, output_name_formatter=_named(output),
    )  # fmt: skip
    after = Compose([*back, AsDiscreted("pred", argmax=True), save])
    inferer = SlidingWindowInferer(task["window"], sw_batch_size=1, overlap=OVERLAP, mode="gaussian")
    timed = Timed(Turned(network))

    def job() -> tuple[float, int]:
        with torch.inference_mode():
            data = before({"image": task["image"]})
            pred = inferer(data["image"][None], timed)[0]
            after({**data, "pred": MetaTensor(pred, meta=data["image"].meta)})
        return timed.seconds, timed.calls

    return job


def _named(output: Path) -> Callable[..., dict[str, str | None]]:
    return lambda *_: {"subject": output.name.removesuffix(".nii.gz"), "idx": None}


def _torchio(task: Task, network: nn.Module) -> Job:
    import torchio as tio

    normal = tio.Compose(
        [tio.Clamp(task["low"], task["high"]), tio.Lambda(lambda values: (values - task["mean"]) / task["std"])]
    )
    timed = Timed(Turned(network))

    def job() -> tuple[float, int]:
        subject = normal(tio.Subject(image=tio.ScalarImage(task["image"])))
        overlap = [int(size * OVERLAP) for size in task["window"]]
        sampler = tio.inference.GridSampler(subject, task["window"], overlap)
        aggregator = tio.inference.GridAggregator(sampler, overlap_mode="hann")
        with torch.inference_mode():
            for patches in tio.SubjectsLoader(sampler, batch_size=1):
                aggregator.add_batch(timed(patches["image"][tio.DATA]), patches[tio.LOCATION])
        labels = aggregator.get_output_tensor().argmax(dim=0, keepdim=True).to(torch.uint8)
        tio.LabelMap(tensor=labels, affine=subject["image"].affine).save(task["output"])
        return timed.seconds, timed.calls

    return job


def _nnunet(task: Task, network: nn.Module) -> Job:
    from nnunet_model import dataset_description, plans_description
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    specification = {
        "structures": [f"part {n}" for n in range(1, task["outputs"])],
        "spacing": task["network_spacing"][::-1],
        "shape": task["shape"][::-1],
        "patch": task["window"][::-1],
        "intensities": {
            "percentile_00_5": task["low"], "percentile_99_5": task["high"], "mean": task["mean"], "std": task["std"],
        },
    }  # fmt: skip
    plans = PlansManager(plans_description(specification, architecture(task["features"])))
    predictor = nnUNetPredictor(
        tile_step_size=1 - OVERLAP, use_gaussian=True, use_mirroring=False, device=torch.device("cpu"),
        allow_tqdm=False,
    )  # fmt: skip
    dataset = dataset_description(specification)
    timed = Timed(network)
    predictor.manual_initialization(
        timed, plans, plans.get_configuration("3d_fullres"), [timed.state_dict()], dataset, "nnUNetTrainer", None
    )
    output = task["output"].removesuffix(".nii.gz")

    def job() -> tuple[float, int]:
        predictor.predict_from_files_sequential([[task["image"]]], [output], overwrite=True)
        return timed.seconds, timed.calls

    return job


def _reference(task: Task, network: nn.Module) -> Job:
    """The definition, in double precision: all probabilities of all windows, weighted, added, the largest wins."""
    from medseg.core.volume import LabelMap
    from medseg.inference.windows import Window, WindowGrid
    from medseg.io.formats import read_volume, write_labels

    timed = Timed(Turned(network))

    def job() -> tuple[float, int]:
        volume = read_volume(Path(task["image"]))
        axes = volume.geometry.axis_map(task["orientation"])
        image = np.clip(axes.apply(volume.array)[0].astype(np.float64), task["low"], task["high"])
        image = (image - task["mean"]) / task["std"]
        grid = WindowGrid(image.shape, Window(tuple(task["window"]), OVERLAP))
        along = [np.exp(-0.5 * ((np.arange(n) - n // 2) / (n / 8)) ** 2) for n in task["window"]]
        weights = along[0][:, None, None] * along[1][:, None] * along[2]
        total = np.zeros((task["outputs"], *image.shape))
        for start in grid.positions:
            box = tuple(slice(first, first + n) for first, n in zip(start, task["window"], strict=True))
            with torch.inference_mode():
                logits = timed(torch.from_numpy(image[box].astype(np.float32))[None, None])[0]
            total[(slice(None), *box)] += weights * logits.double().softmax(dim=0).numpy()
        turned = np.zeros(volume.array.shape[1:], np.uint8)
        axes.apply(turned)[...] = total.argmax(axis=0)
        write_labels(Path(task["output"]), LabelMap(turned, volume.geometry))
        return timed.seconds, timed.calls

    return job


ENGINES: dict[str, Callable[[Task, nn.Module], Job]] = {
    "medseg": _medseg,
    "monai": _monai,
    "torchio": _torchio,
    "nnunet": _nnunet,
    "reference": _reference,
}


def _resident_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(rf"{field}:\s*(\d+) kB", status)[0]) / 2**10


if __name__ == "__main__":
    main()
