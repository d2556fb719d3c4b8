"""What the benchmarks on the hippocampus data share: nnU-Net's folds as splits, means a case, intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from medseg.data.layouts import open_dataset
from medseg.evaluation.result import Evaluation

EVERY_NTH_VALIDATES = 10


def write_split(
    data: Path, folds: Path, fold: int, file: Path, every: int = EVERY_NTH_VALIDATES
) -> dict[str, list[str]]:
    """Write a fold, restricted to the cases at hand, as a split file; every n-th training case validates."""
    wanted = json.loads(folds.read_text(encoding="utf-8"))[fold]
    there = {case.id for case in open_dataset(data).cases}
    training, test = (sorted(there & set(wanted[part])) for part in ("train", "test"))
    validation = training[::every]
    split = {"train": sorted(set(training) - set(validation)), "validation": validation, "test": test}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(split), encoding="utf-8")
    return split


def case_means(evaluation: Evaluation) -> dict[str, float]:
    """Mean Dice over the structures of each case."""
    return {case: float(np.mean([r.dice for r in evaluation.rows if r.case == case])) for case in evaluation.cases}


def score_row(name: str, scores: dict[str, float], other: dict[str, float] | None, column: str) -> dict[str, object]:
    """Mean with its interval, and the paired difference to ``other`` under the name ``column``."""
    values = np.array([*scores.values()])
    paired = np.array([scores[case] - other[case] for case in scores]) if other and other is not scores else None
    return {
        "model": name,
        "cases": len(values),
        "Dice": f"{values.mean():.4f}",
        "95 % CI": interval(values),
        "lowest": f"{values.min():.3f}",
        column: "" if paired is None else f"{paired.mean():+.4f} ({interval(paired)})",
    }


def interval(values: NDArray[np.float64]) -> str:
    """95 % interval of the mean (BCa bootstrap); the value itself where all are equal."""
    if np.ptp(values) == 0:
        return f"{values[0]:.4f} to {values[0]:.4f}"
    found = bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(0)).confidence_interval
    return f"{found.low:.4f} to {found.high:.4f}"
