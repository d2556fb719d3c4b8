"""The main job on the hippocampus data: train on the training part of nnU-Net's fold 0, score its test part once.

    python benchmarks/hippocampus.py DATA/Task04_Hippocampus FOLDS.json NNUNET_CASES.csv --budget 20min

DATA is the Medical Segmentation Decathlon's Task04 (or a part of it), FOLDS.json a list of {"train": [...], "test":
[...]}, NNUNET_CASES.csv nnU-Net's per-case Dice (columns case_id, argmax_foreground_mean_dice).
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from record import record, table
from scipy.stats import bootstrap

import medseg
from medseg.data.layouts import open_dataset
from medseg.pipelines.train import read_run_config

CONFIGS = Path(__file__).parents[1] / "configs"


def main() -> None:
    arguments = _arguments()
    test = _fold(arguments)
    rows = [
        _nnunet(arguments.nnunet, test),
        *(_ours(arguments, name, test) for name in ("hippocampus_3d", "hippocampus_2d")),
    ]
    record("hippocampus", table([row | {"nnU-Net minus ours": _paired(rows[0], row)} for row in _shown(rows)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("nnunet", type=Path)
    parser.add_argument("--budget", default="20min")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/hippocampus"))
    return parser.parse_args()
