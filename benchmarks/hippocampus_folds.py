"""All folds of nnU-Net's split of the hippocampus data: each case is scored by a model that did not see it.

    python benchmarks/hippocampus_folds.py DATA/Task04_Hippocampus FOLDS.json NNUNET_CASES.csv --budget 30min

The arguments are those of hippocampus.py. Every fold trains with the same budget. What was interrupted goes on where it
stopped, so the folds may be trained in several sittings: --only 0 1 trains these and makes no table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fold_scores import case_means, score_row, write_split
from hippocampus_model import Trained, evaluate_on, nnunet_scores, train_on_fold
from record import record, table

PAIRED = "minus nnU-Net, paired"


def main() -> None:
    arguments = _arguments()
    count = len(json.loads(arguments.folds.read_text(encoding="utf-8")))
    folds = {fold: _split(arguments, fold) for fold in range(count)}
    trained = {fold: _train(arguments, fold) for fold in arguments.only or folds}
    if arguments.only:
        return
    scores = {fold: _scores(arguments, model, folds[fold]) for fold, model in trained.items()}
    record("hippocampus-folds", table(_rows(arguments, trained, scores)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("nnunet", type=Path)
    parser.add_argument("--budget", default="30min", help="of each fold")
    parser.add_argument("--dims", type=int, choices=[2, 3], default=3)
    parser.add_argument("--only", type=int, nargs="+", help="train these folds and stop")
    parser.add_argument("--output", type=Path, default=Path("runs/hippocampus-folds"))
    return parser.parse_args()


def _folder(arguments: argparse.Namespace, fold: int) -> Path:
    return Path(arguments.output) / f"fold_{fold}"


def _split(arguments: argparse.Namespace, fold: int) -> list[str]:
    """Test cases of a fold, whose split is written."""
    return write_split(arguments.data, arguments.folds, fold, _folder(arguments, fold) / "split.json")["test"]


def _train(arguments: argparse.Namespace, fold: int) -> Trained:
    made = train_on_fold(arguments.data, _folder(arguments, fold), arguments.dims, arguments.budget)
    print(f"fold {fold}: {made.steps} steps in {made.minutes:.1f} min", flush=True)
    return made


def _scores(arguments: argparse.Namespace, model: Trained, test: list[str]) -> dict[str, dict[str, float]]:
    """Dice of each test case: for every structure, and their mean."""
    evaluation = evaluate_on(arguments.data, model.bundle, test)
    found = {
        structure: {row.case: row.dice for row in evaluation.rows if row.structure == structure}
        for structure in evaluation.scheme.targets
    }
    return found | {"mean": case_means(evaluation)}


def _rows(
    arguments: argparse.Namespace, trained: dict[int, Trained], scores: dict[int, dict[str, dict[str, float]]]
) -> list[dict[str, object]]:
    """A row a fold, then all cases together, for nnU-Net and for medseg."""
    nnunet = nnunet_scores(arguments.nnunet, [case for fold in scores.values() for case in fold["mean"]])
    rows = []
    for fold, found in scores.items():
        model = f"fold {fold}: {trained[fold].minutes:.1f} min, {trained[fold].steps} steps"
        rows.append(score_row(model, found["mean"], nnunet, PAIRED))
    rows.append(score_row("all folds, nnU-Net 3D, 1000 epochs a fold on a GPU (published)", nnunet, nnunet, PAIRED))
    title = f"all folds, medseg {arguments.dims}D, {arguments.budget} a fold on two CPU cores"
    for part in next(iter(scores.values())):
        together = {case: dice for found in scores.values() for case, dice in found[part].items()}
        rows.append(score_row(f"{title}: {part}", together, nnunet if part == "mean" else None, PAIRED))
    return rows


if __name__ == "__main__":
    main()
