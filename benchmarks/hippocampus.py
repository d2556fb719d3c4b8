"""The main job on the hippocampus data: train on the training part of nnU-Net's fold 0, score its test part once.

    python benchmarks/hippocampus.py DATA/Task04_Hippocampus FOLDS.json NNUNET_CASES.csv --budget 20min

DATA is the Medical Segmentation Decathlon's Task04 (or a part of it), FOLDS.json a list of {"train": [...], "test":
[...]}, NNUNET_CASES.csv nnU-Net's per-case Dice (columns case_id and argmax_foreground_mean_dice). Networks in two and
in three dimensions are scored apart and together, by the mean of their probabilities. What is trained is not trained
again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from fold_scores import case_means, score_row, write_split
from hippocampus_model import evaluate_on, nnunet_scores, train_on_fold
from record import record, table

from medseg.inference.bundle import read_bundle, write_bundle
from medseg.inference.ensemble import ensemble

PAIRED = "minus nnU-Net, paired"


@dataclass(frozen=True)
class Model:
    """What is scored, with its name in the table."""

    title: str
    bundle: Path


def main() -> None:
    arguments = _arguments()
    test = write_split(arguments.data, arguments.folds, arguments.fold, arguments.output / "split.json")["test"]
    nnunet = nnunet_scores(arguments.nnunet, test)
    rows = [score_row("nnU-Net 3D, 1000 epochs on a GPU (published)", nnunet, nnunet, PAIRED)]
    models = [_train(arguments, dims, budget) for dims, budget in _wanted(arguments)]
    if len(models) > 1:
        models.append(_ensemble(arguments, models))
    for model in models:
        evaluation = evaluate_on(arguments.data, model.bundle, test)
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
    if len(set(arguments.dims)) < len(arguments.dims):
        raise SystemExit("each of --dims once: a network would count twice in the mean")
    return list(zip(arguments.dims, budgets, strict=True))


def _train(arguments: argparse.Namespace, dims: int, budget: str) -> Model:
    made = train_on_fold(arguments.data, arguments.output, dims, budget)
    cost = f"{made.minutes:.1f} min, {made.steps} steps"
    return Model(f"medseg {dims}D, {budget} on two CPU cores ({cost})", made.bundle)


def _ensemble(arguments: argparse.Namespace, models: list[Model]) -> Model:
    """The models as one; clean-up is that of the first, as nothing was chosen for both."""
    folder = arguments.output / "ensemble" / "run" / "bundle"
    write_bundle(folder, ensemble([read_bundle(model.bundle) for model in models]))
    return Model("medseg, mean of these", folder)


if __name__ == "__main__":
    main()
