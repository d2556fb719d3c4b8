"""Peak memory of predicting one large CT with many structures.

    python benchmarks/memory.py [--network unet]

An instant network (so that the engine is measured, not the convolutions) or a U-Net of 32 to 320 features with random
weights labels a random volume.
"""

from __future__ import annotations

import argparse
import re
import resource
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from record import record, table
from torch import Tensor, nn

from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.inference.bundle import Bundle, TrainingFacts
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.networks.build import build_network
from medseg.planning.topology import unet_for


class Instant(nn.Module):
    """Logits that follow the image, a different band of intensities for each class; next to no work."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.linspace(-2, 2, outputs))

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(b, outputs, *spatial)``."""
        return -((image[:, :1] - self.centres.reshape(1, -1, *[1] * (image.ndim - 2))) ** 2)


def main() -> None:
    """Predict once and print what it took."""
    options = parse()
    volume, bundle = random_ct(tuple(options.shape), tuple(options.spacing)), model(options)
    before = mib(psutil.Process().memory_info().rss)
    predictor = Predictor(bundle, PredictionSettings(device="cpu", runtime="torch"))
    started, cpu = time.perf_counter(), time.process_time()
    labels = predictor.predict(volume).labels
    wall, cpu, peak = time.perf_counter() - started, time.process_time() - cpu, peak_resident_mib()
    rows = {
        "volume": f"{' x '.join(map(str, options.shape))}, int16, {mib(volume.array.nbytes):.0f} MiB",
        "spacing, network's spacing": f"{millimetres(options.spacing)}, {millimetres(options.network_spacing)}",
        "structures, window": f"{options.structures}, {' x '.join(map(str, bundle.config.sampling.patch))}",
        "all probabilities at once would be": f"{mib(4 * (options.structures + 1) * labels.array.size):.0f} MiB",
        "resident before": f"{before:.0f} MiB",
        "peak resident, all included": f"{peak:.0f} MiB",
        "of which prediction": f"{peak - before:.0f} MiB",
        "wall, CPU": f"{wall:.1f} s, {cpu:.1f} s",
    }
    listing = table([{"memory": name, options.network: value} for name, value in rows.items()])
    if options.no_record:
        print(listing)
    else:
        record(f"memory-{options.network}", listing)


def parse() -> argparse.Namespace:
    """The size of the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 600))
    parser.add_argument("--spacing", type=float, nargs=3, default=(0.8, 0.8, 1.0))
    parser.add_argument("--network-spacing", type=float, nargs=3, default=(1.5, 1.5, 1.5))
    parser.add_argument("--structures", type=int, default=20)
    parser.add_argument("--patch", type=int, nargs=3, default=(128, 128, 128))
    parser.add_argument("--network", choices=("instant", "unet"), default="instant")
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    return parser.parse_args()


def model(options: argparse.Namespace) -> Bundle:
    """A bundle around the instant network."""
    names = [f"structure {n}" for n in range(1, options.structures + 1)]
    config = RunConfig.model_validate(
        {
            "name": "memory",
            "data": {"folder": "."},
            "channels": [{"name": "CT", "intensity": "ct", "clip": (-1000, 1000), "mean": 0, "std": 400}],
            "labels": {"structures": [{"name": name, "value": n} for n, name in enumerate(names, start=1)]},
            "preprocessing": {"spacing": options.network_spacing},
            "network": unet_for(options.patch, options.network_spacing, 32, 320).model_dump(),
            "sampling": {"patch": options.patch},
            "training": {"budget": {"epochs": 1}},
        }
    )
    extent = (1.0, 1.0, 1.0)
    facts = TrainingFacts(
        modalities=("CT",), spacing_min=extent, spacing_max=extent, extent_min_mm=extent, extent_max_mm=extent
    )
    outputs = options.structures + 1
    network = Instant(outputs) if options.network == "instant" else build_network(config.network, 1, outputs)
    return Bundle.single(config, label_scheme(config.labels), network.eval(), facts)


def random_ct(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    """Blocks of random HU, so that every structure occurs everywhere; the worst case for an engine that skips."""
    coarse = np.random.default_rng(0).integers(-1000, 1000, [-(-n // 16) for n in shape], dtype=np.int16)
    array = np.empty((1, *shape), np.int16)
    for plane in range(shape[0]):
        wide = coarse[plane // 16].repeat(16, axis=0).repeat(16, axis=1)
        array[0, plane] = wide[: shape[1], : shape[2]]
    return Volume(array, Geometry.from_spacing(shape, spacing), ("CT",))


def peak_resident_mib() -> float:
    """Largest resident size of this process so far.

    On Linux not by ``ru_maxrss``, which starts at what the process held that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))[0]) / 2**10
    return mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # macOS counts in bytes


def mib(size: float) -> float:
    """Bytes as MiB."""
    return size / 2**20


def millimetres(spacing: tuple[float, float, float]) -> str:
    """A voxel size, written out."""
    return f"{' x '.join(f'{size:g}' for size in spacing)} mm"


if __name__ == "__main__":
    main()
