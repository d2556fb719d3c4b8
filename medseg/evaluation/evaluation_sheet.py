"""The score sheet of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from medseg.core.errors import InputError
from medseg.core.files import existing
from medseg.core.geometry import LengthUnit
from medseg.data.documents import parse_document, read_json

from .as_json import FORMAT, as_json
from .result import Evaluation
from .score_sheet import AttributeFigures, Basis, CalibrationFigures, Figures, ScoreSheet, StructureFigures, nameable
from .scores_file import SCORES

_LARGEST = 2**29
_KEPT = ("dice", "hd95", "nsd")


class _Settings(Figures):
    distance_unit: LengthUnit
    nsd_tolerance: dict[str, float]
    confidence_level: float


class _Case(Figures):
    case: str
    patient: int


class _Subgroups(Figures):
    attributes: tuple[AttributeFigures, ...]


class _Calibration(Figures):
    summary: tuple[CalibrationFigures, ...]


class _Evaluation(Figures):
    settings: _Settings
    summary: tuple[StructureFigures, ...] = Field(min_length=1)
    subgroups: _Subgroups = _Subgroups(attributes=())
    calibration: _Calibration = _Calibration(summary=())
    cases: tuple[_Case, ...]


def evaluation_sheet(path: Path) -> ScoreSheet:
    """The sheet of an evaluation on disk.

    Args:
        path: The folder that `medseg evaluate` wrote, or ``scores.json`` in it.

    Raises:
        InputError: If nothing is there, no case was scored, or another version wrote it.
        ReadError: If the file is not sound.
    """
    file = path / SCORES if existing(path).is_dir() else path
    if not file.is_file():
        raise InputError(f"{str(path)!r} holds no {SCORES}; name a folder that `medseg evaluate` wrote")
    tree = read_json(file, _LARGEST)
    if tree.get("format") != FORMAT or not tree.get("cases"):
        raise InputError(f"{str(path)!r} holds no scores of this version of medseg; run `medseg evaluate` again")
    return _sheet(tree, Basis.EVALUATION)


def sheet_of(evaluation: Evaluation, basis: Basis) -> ScoreSheet | None:
    """The sheet of an evaluation; None if no case was scored."""
    return _sheet(as_json(evaluation), basis) if evaluation.rows else None


def _sheet(tree: dict[str, Any], basis: Basis) -> ScoreSheet:
    found = parse_document(tree, _Evaluation, SCORES)
    return ScoreSheet(
        basis=basis,
        patients=len({row.patient for row in found.cases}),
        cases=len({row.case for row in found.cases}),
        structures=tuple(_kept(one) for one in found.summary),
        attributes=nameable(found.subgroups.attributes),
        calibration=found.calibration.summary,
        unit=found.settings.distance_unit,
        tolerances=found.settings.nsd_tolerance,
        level=found.settings.confidence_level,
    )


def _kept(one: StructureFigures) -> StructureFigures:
    means = {name: one.means[name] for name in _KEPT if name in one.means}
    return one.model_copy(update={"means": means})
