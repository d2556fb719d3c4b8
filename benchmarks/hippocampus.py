"""The main job on the hippocampus data: train on the training part of nnU-Net's fold 0, score its test part once.

    python benchmarks/hippocampus.py DATA/Task04_Hippocampus FOLDS.json NNUNET_CASES.csv --budget 20min

DATA is the Medical Segmentation Decathlon's Task04 (or a part of it), FOLDS.json a list of {"train": [...], "test":
[...]}, NNUNET_CASES.csv nnU-Net's per-case Dice (columns case_id and argmax_foreground_mean_dice).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from fold_scores import case_means, score_row, write_split
from record import record, table

from medseg.data.layouts import open_dataset
from medseg.evaluation.result import Evaluation
from medseg.pipelines.evaluate import evaluate
from medseg.pipelines.predict import predict
from medseg.pipelines.train import read_run_config, train
from medseg.training.state import read_checkpoint

CONFIGS = Path(__file__).parents[1] / "configs"
PAIRED = "minus nnU-Net, paired"


def main() -> None:
    arguments = _arguments()
    test = write_split(arguments.data, arguments.folds, arguments.fold, arguments.output / "split.json")["test"]
    nnunet = _nnunet(arguments.nnunet, test)
    rows = [score_row("nnU-Net 3D, 1000 epochs on a GPU (published)", nnunet, nnunet, PAIRED)]
    for dims in arguments.dims:
        name = f"hippocampus_{dims}d"
        minutes, steps, evaluation = _run(arguments, name, test)
        title = f"medseg {dims}D, {arguments.budget} on two CPU cores ({minutes:.1f} min, {steps} steps)"
        for structure in evaluation.scheme.targets:
            scores = {row.case: row.dice for row in evaluation.rows if row.structure == structure}
            rows.append(score_row(f"{title}: {structure}", scores, None, PAIRED))
        rows.append(score_row(f"{title}: mean", case_means(evaluation), nnunet, PAIRED))
    record("hippocampus", table(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("nnunet", type=Path)
    parser.add_argument("--budget", default="20min")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--dims", type=int, nargs="+", default=[3, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/hippocampus"))
    return parser.parse_args()


def _run(arguments: argparse.Namespace, name: str, test: list[str]) -> tuple[float, int, Evaluation]:
    """Train, predict the test cases and score them."""
    folder = arguments.output / name
    where = [f"data.folder={arguments.data}", f"data.split.file={arguments.output / 'split.json'}"]
    result = train(read_run_config(CONFIGS / f"{name}.yaml", where, arguments.budget), folder / "run", resume=True)
    counters = read_checkpoint(folder / "run" / "last.pt", torch.device("cpu"))["counters"]
    minutes = counters["elapsed_s"] / 60
    dataset = open_dataset(arguments.data)
    images = [next(iter(dataset.case(case).images.values())).path for case in test]
    predict(result.bundle, images, folder / "predictions")
    return minutes, counters["step"], evaluate(folder / "predictions", arguments.data, folder / "report")


def _nnunet(path: Path, test: list[str]) -> dict[str, float]:
    with path.open() as stream:
        known = {row["case_id"]: float(row["argmax_foreground_mean_dice"]) for row in csv.DictReader(stream)}
    return {case: known[case] for case in test}


if __name__ == "__main__":
    main()
