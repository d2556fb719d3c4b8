"""Peak memory of predicting one large CT with many structures, from file to file: medseg, nnU-Net and MONAI.

    python benchmarks/memory_peers.py --nnunet-python /tmp/nnunet-venv/bin/python
    python -m venv /tmp/nnunet-venv && /tmp/nnunet-venv/bin/pip install nnunetv2 torch==2.13.0    # makes it

The network is instant (the same for all), so that what is measured is the engine: image, probabilities, resampling to
the network's spacing and back. Each is a process of its own and may take ``--limit`` GiB of addresses; one that needs
more ends there, and the row says so. Time is what it took with the instant network.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Any

from inference_run import Bench
from memory import random_ct
from record import record, table

from medseg.io.formats import write_volume

NAMES = {"medseg": "medseg", "nnunet": "nnU-Net 2.8.1", "monai": "MONAI, SlidingWindowInferer and Invertd"}


def main() -> None:
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    image = options.output / "large_0000.nii.gz"
    volume = random_ct(tuple(options.shape), tuple(options.spacing))
    write_volume(image, volume)
    task = {
        "image": str(image), "threads": 2, "features": [], "outputs": 1 + options.structures,
        "window": options.window, "shape": options.shape, "spacing": options.spacing,
        "network_spacing": options.network_spacing, "orientation": volume.geometry.axis_codes,
        "low": -1000.0, "high": 1000.0, "mean": 0.0, "std": 400.0, "settings": {"skip_air": False},
        "limit_gib": options.limit,
    }  # fmt: skip
    del volume
    bench = Bench(options.output, options.nnunet_python)
    rows = [
        _row(engine, _measured(bench, engine, task), options.limit) for engine in NAMES if engine in options.engines
    ]
    size = " x ".join(map(str, options.shape))
    record("memory-peers", f"{size} voxels, {options.structures} structures\n\n" + table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet-python", type=Path, required=True, help="Python of an environment with nnunetv2")
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 600])
    parser.add_argument("--spacing", type=float, nargs=3, default=[0.8, 0.8, 1.0])
    parser.add_argument("--network-spacing", type=float, nargs=3, default=[1.5, 1.5, 1.5])
    parser.add_argument("--window", type=int, nargs=3, default=[128, 128, 128])
    parser.add_argument("--structures", type=int, default=20)
    parser.add_argument("--limit", type=int, default=16, help="GiB of addresses that an engine may take")
    parser.add_argument("--engines", nargs="+", choices=NAMES, default=[*NAMES])
    parser.add_argument("--output", type=Path, default=Path("runs/memory_peers"))
    return parser.parse_args()


def _measured(bench: Bench, engine: str, task: dict[str, Any]) -> dict[str, Any] | None:
    """What it took; None where it needed more than it may."""
    try:
        return bench.run(engine, task, engine)
    except subprocess.CalledProcessError as error:
        said = bench.log(engine).read_text(encoding="utf-8", errors="replace").lower()
        if "memory" not in said and "allocate" not in said:
            raise SystemExit(f"{engine} failed for another reason than memory; see {bench.log(engine)}") from error
        return None


def _row(engine: str, result: dict[str, Any] | None, limit: int) -> dict[str, object]:
    if result is None:
        return {"engine": NAMES[engine], "above the loaded engine": f"more than {limit} GiB: it ended", "wall": ""}
    return {
        "engine": NAMES[engine],
        "above the loaded engine": f"{result['peak_mib'] / 1024:.2f} GiB",
        "wall": f"{result['seconds']:.0f} s",
    }


if __name__ == "__main__":
    main()
