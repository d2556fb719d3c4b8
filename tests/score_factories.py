"""Rows of scores and evaluations made of them, without any image."""

from __future__ import annotations

import math

import numpy as np

from medseg.core.case import CaseId
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.evaluation.aggregate import summarise
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.result import Details, Evaluation
from medseg.evaluation.scores_file import ModelScores
from medseg.evaluation.settings import Settings
from medseg.metrics.empties import Status
from medseg.metrics.table import ScoreSettings, StructureScore

QUICK = Bootstrap(resamples=100)


def score_row(
    case="a", structure="liver", dice=0.8, status=Status.OK, distance=2.0, unit=LengthUnit.MM, **changes
) -> StructureScore:
    """A row whose shares all are the Dice and whose distances all are one; ``changes`` replace fields."""
    shares = ("dice", "iou", "precision", "recall", "f_beta", "mcc", "nsd", "boundary_iou")
    fields = {
        "case": case, "structure": structure, "status": status, "accuracy": 0.99, "specificity": 0.9,
        "balanced_accuracy": 0.95, "beta": 2.0, "volume_predicted": 10.0, "volume_reference": 12.0, "tolerance": 1.0,
        "rim": 2.0, "cl_dice": math.nan, "unit": unit, "diagonal": 90.0, "tp": 8, "fp": 4, "fn": 0, "tn": 100,
        **dict.fromkeys(shares, dice), **dict.fromkeys(("hd", "hd95", "assd", "masd"), distance),
    }  # fmt: skip
    return StructureScore(**fields | changes)


def both_empty(case="a", structure="liver") -> StructureScore:
    return score_row(case, structure, math.nan, Status.BOTH_EMPTY, math.nan)


def missed(case="a", structure="liver") -> StructureScore:
    return score_row(case, structure, 0.0, Status.MISSED, math.inf)


def evaluation(
    rows, names=("one", "two"), unscored=(), patients=None, details=None, scores=None, bootstrap=QUICK
) -> Evaluation:
    """An evaluation of the rows; each case is a patient unless ``patients`` says otherwise."""
    rows, settings = tuple(rows), Settings(scores or ScoreSettings(), bootstrap=bootstrap)
    patients = patients or {CaseId(row.case): f"patient of {row.case}" for row in rows}
    scheme = LabelScheme.from_names({name: value for value, name in enumerate(names, start=1)})
    summaries = summarise(rows, patients, settings.bootstrap)
    return Evaluation(scheme, settings, rows, tuple(unscored), summaries, patients, details or Details())


MODELS_QUICK = Bootstrap(resamples=500)
_SETTINGS = {"nsd_tolerance": {"one": 1.0, "two": 1.0}, "rim": 2.0, "beta": 2.0, "thin": (), "distance_unit": "mm"}


def model(name, rows, targets=("one", "two"), patients=None, **settings) -> ModelScores:
    """What a comparison reads of a model; ``settings`` replace those of its evaluation."""
    patients = patients or {row.case: f"{name} {row.case}" for row in rows}
    return ModelScores(name, targets, _SETTINGS | settings, "0.1.0", tuple(rows), patients)


def model_rows(gain=0.0, count=12, spread=0.05) -> list[StructureScore]:
    """Cases ``c0``, ``c1``, … of two structures; the same cases are hard for any gain."""
    base = np.random.default_rng(0).uniform(0.6, 0.8, (count, 2))
    own = np.random.default_rng(int(100 * gain) + 1).normal(gain, spread, (count, 2))
    scores = np.clip(base + own, 0, 1)
    return [
        score_row(f"c{case}", name, float(scores[case, place]), distance=float(10 * (1 - scores[case, place])))
        for case in range(count)
        for place, name in enumerate(("one", "two"))
    ]
