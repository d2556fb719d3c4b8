"""The main job on the hippocampus data: train on the training part of nnU-Net's fold 0, score its test part once.

    python benchmarks/hippocampus.py DATA/Task04_Hippocampus FOLDS.json NNUNET_CASES.csv --budget 20min

DATA is the Medical Segmentation Decathlon's Task04 (or a part of it), FOLDS.json a list of {"train": [...], "test":
[...]}, NNUNET_CASES.csv nnU-Net's per-case Dice (columns case_id and argmax_foreground_mean_dice). Networks in two and
in three dimensions are scored apart and together, by the mean of their probabilities. What is trained is not trained
again.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from fold_scores import case_means, score_row, write_split
from record import record, table

from medseg.data.layouts import open_dataset
from medseg.evaluation.result import Evaluation
from medseg.inference.bundle import read_bundle, write_bundle
from medseg.inference.ensemble import ensemble
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.predict import predict
from medseg.pipelines.train import read_run_config, train
from medseg.training.state import read_checkpoint

CONFIGS = Path(__file__).parents[1] / "configs"
PAIRED = "minus nnU-Net, paired"


@dataclass(frozen=True)
class Trained:
    """A model and what it cost."""

    title: str
    bundle: Path


def main() -> None:
    arguments = _arguments()
    test = write_split(arguments.data, arguments.folds, arguments.fold, arguments.output / "split.json")["test"]
    nnunet = _nnunet(arguments.nnunet, test)
    rows = [score_row("nnU-Net 3D, 1000 epochs on a GPU (published)", nnunet, nnunet, PAIRED)]
    models = [_train(arguments, dims, budget) for dims, budget in _wanted(arguments)]
    if len(models) > 1:
        models.append(_ensemble(arguments, models))
    for model in models:
        evaluation = _evaluate(arguments, model, test)
        for structure in evaluation.scheme.targets:
            scores = {row.case: row.dice for row in evaluation.rows if row.structure == structure}
            rows.append(score_row(f"{model.title}: {structure}", scores, None, PAIRED))
        rows.append(score_row(f"{model.title}: mean", case_means(evaluation), nnunet, PAIRED))
    record("hippocampus", table(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("nnunet", type=Path)
    parser.add_argument("--budget", nargs="+", default=["20min"], help="one for all, or one for each of --dims")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--dims", type=int, nargs="+", default=[3, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/hippocampus"))
    return parser.parse_args()


def _wanted(arguments: argparse.Namespace) -> list[tuple[int, str]]:
    budgets = arguments.budget * len(arguments.dims) if len(arguments.budget) == 1 else arguments.budget
    if len(budgets) != len(arguments.dims):
        raise SystemExit(f"{len(budgets)} budgets for {len(arguments.dims)} networks; give one, or one for each")
    return list(zip(arguments.dims, budgets, strict=True))


def _train(arguments: argparse.Namespace, dims: int, budget: str) -> Trained:
    name = f"hippocampus_{dims}d"
    run = arguments.output / name / "run"
    where = [f"data.folder={arguments.data}", f"data.split.file={arguments.output / 'split.json'}"]
    result = train(read_run_config(CONFIGS / f"{name}.yaml", where, budget), run, resume=True)
    counters = read_checkpoint(run / "last.pt", torch.device("cpu"))["counters"]
    cost = f"{counters['elapsed_s'] / 60:.1f} min, {counters['step']} steps"
    return Trained(f"medseg {dims}D, {budget} on two CPU cores ({cost})", result.bundle)


def _ensemble(arguments: argparse.Namespace, models: list[Trained]) -> Trained:
    """The models as one; clean-up is that of the first, as nothing was chosen for both."""
    folder = arguments.output / "ensemble" / "run" / "bundle"
    write_bundle(folder, ensemble([read_bundle(model.bundle) for model in models]))
    return Trained("medseg, mean of these", folder)


def _evaluate(arguments: argparse.Namespace, model: Trained, test: list[str]) -> Evaluation:
    """Predict the test cases and score them."""
    folder, dataset = model.bundle.parents[1], open_dataset(arguments.data)
    images = [next(iter(dataset.case(case).images.values())).path for case in test]
    predict(model.bundle, images, folder / "predictions")
    return evaluate(folder / "predictions", arguments.data, folder / "report")


def _nnunet(path: Path, test: list[str]) -> dict[str, float]:
    with path.open() as stream:
        known = {row["case_id"]: float(row["argmax_foreground_mean_dice"]) for row in csv.DictReader(stream)}
    return {case: known[case] for case in test}


if __name__ == "__main__":
    main()
