"""What the benchmarks on the hippocampus data share: a model trained on one fold, its scores, nnU-Net's scores."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from medseg.data.layouts import open_dataset
from medseg.evaluation.result import Evaluation
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.predict import predict
from medseg.pipelines.train import read_run_config, train
from medseg.training.state import read_checkpoint

CONFIGS = Path(__file__).parents[1] / "configs"


@dataclass(frozen=True)
class Trained:
    """A model and what it cost.

    Attributes:
        bundle: In the run's folder.
        minutes: Of training, with its validations; 0 for an ensemble.
        steps: Of the optimizer; 0 for an ensemble.
    """

    bundle: Path
    minutes: float = 0.0
    steps: int = 0


def train_on_fold(data: Path, folder: Path, dims: int, budget: str) -> Trained:
    """Train the hippocampus network of so many dimensions on the split in ``folder/split.json``, or go on with it."""
    name = f"hippocampus_{dims}d"
    run = folder / name / "run"
    where = [f"data.folder={data}", f"data.split.file={folder / 'split.json'}"]
    result = train(read_run_config(CONFIGS / f"{name}.yaml", where, budget), run, resume=True)
    counters = read_checkpoint(run / "last.pt")["counters"]
    return Trained(result.bundle, counters["elapsed_s"] / 60, counters["step"])


def evaluate_on(data: Path, bundle: Path, cases: list[str]) -> Evaluation:
    """Predict the cases beside the run's folder and score them."""
    folder, dataset = bundle.parents[1], open_dataset(data)
    images = [next(iter(dataset.case(case).images.values())).path for case in cases]
    predict(bundle, images, folder / "predictions")
    return evaluate(folder / "predictions", data, folder / "report")


def nnunet_scores(path: Path, cases: list[str]) -> dict[str, float]:
    """nnU-Net's mean Dice of each case."""
    with path.open() as stream:
        known = {row["case_id"]: float(row["argmax_foreground_mean_dice"]) for row in csv.DictReader(stream)}
    return {case: known[case] for case in cases}
