"""Time of `medseg evaluate` on 38 hippocampi: all scores, intervals, tables, the report with its pictures.

    python benchmarks/evaluation.py Task04_Hippocampus [--cases 38] [--repeats 3]

The predictions are the references moved by a voxel, with a tenth of the voxels at their borders flipped. Centre lines
and instances are asked for too; calibration needs probabilities and is not.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import record, table
from scipy import ndimage

from medseg.core.volume import LabelMap
from medseg.io.formats import read_label_map, write_label_map

EXTRA = ("--thin", "Anterior", "--thin", "Posterior", "--instances", "Anterior")


def main() -> None:
    """Draw predictions, evaluate them with one worker and with two, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cases", type=int, default=38)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-record", action="store_true", help="only print; leave docs/benchmarks.md alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        predicted = Path(folder) / "predicted"
        draw(options.dataset, predicted, options.cases)
        rows = [row(options, predicted, Path(folder) / "report", workers) for workers in (1, 2)]
    if options.no_record:
        print(table(rows))
    else:
        record("evaluation", table(rows), ("numpy", "scipy"))


def draw(dataset: Path, folder: Path, cases: int) -> None:
    """Predictions for the first cases of a data set."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for path in sorted((dataset / "labelsTr").glob("[!.]*.nii.gz"))[:cases]:
        labels = read_label_map(path)
        moved = np.roll(labels.array, 1, axis=int(rng.integers(3)))
        edge = ndimage.maximum_filter(moved, 3) != ndimage.minimum_filter(moved, 3)
        other = rng.permutation(moved[edge])
        flipped = rng.random(other.size) < 0.1
        moved[edge] = np.where(flipped, other, moved[edge])
        write_label_map(folder / path.name, LabelMap(moved, labels.geometry))


def row(options: argparse.Namespace, predicted: Path, report: Path, workers: int) -> dict[str, object]:
    """Median time of the whole command, process start included."""
    command = [Path(sys.executable).with_name("medseg"), "evaluate", predicted, options.dataset, "-o", report]
    command += [*EXTRA, "--workers", str(workers)]
    seconds = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return {
        "medseg evaluate": f"{options.cases} cases",
        "workers": workers,
        "s": f"{statistics.median(seconds):.1f}",
        "report.html": f"{(report / 'report.html').stat().st_size / 2**20:.1f} MiB",
    }


if __name__ == "__main__":
    main()
