"""What each runtime does to speed and to the scores of a trained model.

    python benchmarks/runtimes.py BUNDLE DATA/Task04_Hippocampus SPLIT.json

Predicts the cases that ``test`` of the split names, with each runtime in turn, and scores them against the references.
The first row is the yardstick: torch in float32. Preparing a runtime (converting, compiling) is not counted: each
predicts the first case once before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fold_scores import case_means
from record import record, table

from medseg.core.case import CaseId
from medseg.core.errors import MedsegError
from medseg.data.layouts import open_dataset
from medseg.inference.bundle import read_bundle
from medseg.inference.devices import PrecisionName
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import read_label_map, read_volume, write_labels
from medseg.pipelines.evaluate import evaluate


@dataclass(frozen=True)
class Way:
    """A runtime and what it computes in."""

    runtime: str
    precision: PrecisionName

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


WAYS = (
    Way("torch", "fp32"),
    Way("torch", "bf16"),
    Way("torch-compile", "fp32"),
    Way("torch-compile", "bf16"),
    Way("onnx", "fp32"),
    Way("openvino", "fp32"),
    Way("openvino", "bf16"),
    Way("openvino", "int8"),
)


def main() -> None:
    options = _options()
    dataset = open_dataset(options.data)
    test = json.loads(options.split.read_text(encoding="utf-8"))["test"]
    images = {case: next(iter(dataset.case(CaseId(case)).images.values())).path for case in test}
    rows: list[dict[str, object]] = []
    yardstick: dict[str, float] = {}
    for way in WAYS:
        folder = options.output / str(way).replace(" ", "-")
        try:
            seconds = _predict(options.bundle, images, way, folder)
        except MedsegError as error:
            print(f"{way}: left out, {error}")
            continue
        scores = case_means(evaluate(folder, options.data, options.output / f"{folder.name}-report"))
        yardstick = yardstick or scores
        fell = 100 * np.array([yardstick[case] - scores[case] for case in scores])
        rows.append(
            {
                "runtime": way,
                "seconds a case": f"{seconds / len(images):.3f}",
                "Dice": f"{np.mean([*scores.values()]):.4f}",
                "points lost": f"{fell.mean():.3f} (at most {fell.max():.2f} in a case)",
                "labels as the first row": f"{_equal(folder, options.output / str(WAYS[0]).replace(' ', '-')):.4%}",
            }
        )
    record("runtimes", f"{len(images)} cases\n\n" + table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/runtimes"))
    return parser.parse_args()


def _predict(bundle: Path, images: dict[str, Path], way: Way, folder: Path) -> float:
    """Seconds for all cases, reading and writing included."""
    settings = PredictionSettings(device="cpu", runtime=way.runtime, precision=way.precision)
    predictor = Predictor(read_bundle(bundle), settings)
    predictor.predict(read_volume(next(iter(images.values()))))
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    for case, image in images.items():
        write_labels(folder / f"{case}.nii.gz", predictor.predict(read_volume(image)).labels)
    return time.perf_counter() - started


def _equal(folder: Path, other: Path) -> float:
    """Share of the voxels of all cases that have one label in both folders."""
    equal = size = 0
    for path in sorted(folder.glob("*.nii.gz")):
        one, two = (read_label_map(place / path.name).array for place in (folder, other))
        equal, size = equal + int((one == two).sum()), size + one.size
    return equal / size


if __name__ == "__main__":
    main()
