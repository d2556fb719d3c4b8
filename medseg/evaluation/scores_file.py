"""scores.json as `medseg evaluate` writes it, read back for comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from medseg.core.case import CaseId
from medseg.core.errors import InputError, ReadError
from medseg.core.files import existing
from medseg.core.geometry import LengthUnit
from medseg.data.documents import parse_document, read_json
from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore

from .as_json import FORMAT

SCORES = "scores.json"
_LARGEST = 2**29
Share = float | None
Distance = float | Literal["inf"] | None


class _Settings(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    nsd_tolerance: dict[str, float]
    rim: float
    beta: float
    thin: tuple[str, ...]
    distance_unit: Literal["mm", "pixel"]


class _Row(BaseModel):
    """A row of ``cases``; names as in `evaluation.case_table`."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    case: str
    patient: int
    structure: str
    status: Status
    dice: Share
    iou: Share
    precision: Share
    recall: Share
    f_beta: Share
    mcc: Share
    specificity: Share
    accuracy: Share
    balanced_accuracy: Share
    hd: Distance
    hd95: Distance
    assd: Distance
    masd: Distance
    nsd: Share
    boundary_iou: Share
    cl_dice: Share
    volume_predicted: float
    volume_reference: float
    image_diagonal: float
    tp: int = Field(ge=0)
    fp: int = Field(ge=0)
    fn: int = Field(ge=0)
    tn: int = Field(ge=0)


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    settings: _Settings
    versions: dict[str, str]
    targets: tuple[str, ...] = Field(min_length=1)
    cases: tuple[_Row, ...]


@dataclass(frozen=True, eq=False)
class ModelScores:
    """What one evaluation found, as far as a comparison needs it.

    Attributes:
        name: How the model is called.
        targets: The structures or regions that were scored.
        settings: What defines the scores: tolerances, rim, beta, thin structures, unit.
        version: Of medseg.
        rows: One a case and structure.
        patients: A number for each case's patient; it means nothing beyond this evaluation.
    """

    name: str
    targets: tuple[str, ...]
    settings: Mapping[str, object]
    version: str
    rows: tuple[StructureScore, ...]
    patients: Mapping[CaseId, str]


def read_scores(path: Path, name: str) -> ModelScores:
    """The scores in a folder that `medseg evaluate` wrote, or in the file itself.

    Args:
        path: The folder, or ``scores.json``.
        name: How to call the model.

    Raises:
        InputError: If nothing is there, or no scores.
        ReadError: If the file is not sound.
    """
    file = path / SCORES if existing(path).is_dir() else path
    if not file.is_file():
        raise InputError(f"{str(path)!r} holds no {SCORES}; name a folder that `medseg evaluate` wrote")
    tree = read_json(file, _LARGEST)
    if tree.get("format") != FORMAT:
        raise InputError(f"the {SCORES} of {name!r} is of another version of medseg; run `medseg evaluate` again")
    document = parse_document(tree, _Document, f"{SCORES} of {name!r}")
    rows = tuple(_score(row, document.settings) for row in document.cases)
    places = {(row.case, row.structure) for row in rows}
    if len(places) < len(rows) or {row.structure for row in rows} - set(document.targets):
        raise ReadError(f"{SCORES} of {name!r}: a structure is unknown, or comes twice in one case")
    return ModelScores(
        name,
        document.targets,
        document.settings.model_dump(),
        document.versions.get("medseg", "unknown"),
        rows,
        {CaseId(row.case): str(row.patient) for row in document.cases},
    )


def _score(row: _Row, settings: _Settings) -> StructureScore:
    shares = {
        name: _value(getattr(row, name))
        for name in (
            *("dice", "iou", "precision", "recall", "f_beta", "mcc", "specificity", "accuracy", "balanced_accuracy"),
            *("hd", "hd95", "assd", "masd", "nsd", "boundary_iou", "cl_dice"),
        )
    }
    return StructureScore(
        case=CaseId(row.case),
        structure=row.structure,
        status=row.status,
        beta=settings.beta,
        volume_predicted=row.volume_predicted,
        volume_reference=row.volume_reference,
        tolerance=settings.nsd_tolerance.get(row.structure, math.nan),
        rim=settings.rim,
        unit=LengthUnit(settings.distance_unit),
        diagonal=row.image_diagonal,
        tp=row.tp,
        fp=row.fp,
        fn=row.fn,
        tn=row.tn,
        **shares,
    )


def _value(stored: float | str | None) -> float:
    return math.nan if stored is None else float(stored)
