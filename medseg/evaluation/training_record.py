"""How a model came about, as far as its card tells: ``training.json`` in its bundle, all of it numbers of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from medseg.core.case import CaseId
from medseg.data.dataset import Dataset
from medseg.data.documents import M, parse_document, read_json
from medseg.data.split import Split

from .cohort import Cohort, PartCount, cohort
from .dice_sheet import dice_sheet
from .score_sheet import ScoreSheet

RECORD = "training.json"


class TrainingRun(BaseModel):
    """One training of one network."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epochs: int
    steps: int
    seconds: float
    """Of the training proper, over all sittings."""
    device: str
    processes: int = 1


class TrainingRecord(BaseModel):
    """Who trained, how long, and how the cases that did not train were scored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cohort: Cohort
    runs: tuple[TrainingRun, ...] = ()
    """One a network of the bundle; empty where nobody wrote it down."""
    scores: ScoreSheet | None = None
    """Of cases that did not train; None if there were none."""


def training_record(
    dataset: Dataset, split: Split, runs: Sequence[TrainingRun], scores: ScoreSheet | None
) -> TrainingRecord:
    """The record of a training.

    Args:
        dataset: What it was trained on.
        split: Who trained; in a cross-validation everybody but the test cases.
        runs: One a network of the bundle.
        scores: Of cases that did not train the network that outlined them; None if there were none.
    """
    return TrainingRecord(cohort=cohort(dataset, split), runs=tuple(runs), scores=scores)


def read_record(bundle: Path) -> TrainingRecord:
    """The record in a bundle; of a bundle of an older version, what its split and its scores say.

    Raises:
        ReadError: If a file is not sound.
    """
    if (bundle / RECORD).exists():
        return parse_document(read_json(bundle / RECORD), TrainingRecord, RECORD)
    split = _older(bundle / "split.json", _OldSplit)
    parts = {name: PartCount(cases=len(cases), patients=None) for name, cases in split if cases}
    rows = _older(bundle / "scores.json", _OldScores).validation
    known = [_Row(CaseId(row.case), row.structure, math.nan if row.dice is None else row.dice) for row in rows]
    own = {row.case: row.case for row in known}
    sheet = dice_sheet(known, own, {}) if known else None
    return TrainingRecord(cohort=Cohort(parts=parts), scores=sheet)


class _OldSplit(BaseModel):
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


class _OldRow(BaseModel):
    case: str
    structure: str
    dice: float | None


class _OldScores(BaseModel):
    validation: tuple[_OldRow, ...] = ()


@dataclass(frozen=True)
class _Row:
    case: CaseId
    structure: str
    dice: float


def _older(path: Path, model: type[M]) -> M:
    return parse_document(read_json(path) if path.exists() else {}, model, path.name)
