"""What an evaluation found, for programs (JSON, CSV) and for the console."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import scipy

import medseg
from medseg.core.case import CaseId
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.metrics.empties import Status
from medseg.metrics.surface import HD95_DEFINITION, NSD_DEFINITION
from medseg.metrics.table import StructureScore
from medseg.render.plots import number

from .aggregate import AVERAGING, DISTANCES, OVERLAPS, VOLUMES, Mean, Summary
from .intervals import Bootstrap
from .scoring import Problem, Unscored

Cell = str | int | float | None
_SHARES = (*OVERLAPS, "nsd")


@dataclass(frozen=True)
class Settings:
    """What defines the scores.

    Attributes:
        tolerance: Distance that the NSD forgives, in mm (pixels where there is no spacing).
        bootstrap: How the intervals are made.
    """

    tolerance: float = 1.0
    bootstrap: Bootstrap = field(default_factory=Bootstrap)


@dataclass(frozen=True)
class Evaluation:
    """Scores of all cases, their means, and the cases without scores.

    Attributes:
        scheme: The structures.
        settings: What defines the scores.
        rows: One a case and structure.
        unscored: Cases that failed or lack a side.
        summaries: One a structure, then the foreground mean if there are several.
        patients: Whose case it is.
    """

    scheme: LabelScheme
    settings: Settings
    rows: tuple[StructureScore, ...]
    unscored: tuple[Unscored, ...]
    summaries: tuple[Summary, ...]
    patients: Mapping[CaseId, str]

    @property
    def has_failures(self) -> bool:
        """Whether some case could not be scored for an error; a missing side is none."""
        return any(one.problem is Problem.FAILED for one in self.unscored)

    @property
    def cases(self) -> tuple[CaseId, ...]:
        """The cases that were scored."""
        return tuple(dict.fromkeys(row.case for row in self.rows))

    @property
    def unit(self) -> LengthUnit:
        """Unit of all distances."""
        return self.rows[0].unit if self.rows else LengthUnit.MM

    @property
    def volume_unit(self) -> str:
        """Unit of all volumes."""
        return self.rows[0].volume_unit if self.rows else "mL"

    def summary_rows(self) -> list[dict[str, Cell]]:
        """One flat row a structure, narrow enough for a console; None where there is no number."""
        level = f"{100 * self.settings.bootstrap.level:g} % CI"
        return [
            {
                "structure": one.structure,
                "cases": one.means["dice"].cases,
                "Dice": _rounded(one.means["dice"].value, 3),
                level: interval_text("dice", one.means["dice"], "-"),
                f"HD95 {self.unit.value}": _rounded(one.means["hd95"].value, 2),
                "NSD": _rounded(one.means["nsd"].value, 3),
                "missed": one.statuses[Status.MISSED],
                "false": one.statuses[Status.FALSE_POSITIVE],
                "empty": one.statuses[Status.BOTH_EMPTY],
            }
            for one in self.summaries
        ]

    def case_rows(self) -> list[dict[str, Cell]]:
        """One flat row a case and structure.

        NaN is None, an infinite distance the text ``inf``; patients are numbered, their pseudonyms stay here.
        """
        numbers = {patient: index for index, patient in enumerate(dict.fromkeys(self.patients.values()), start=1)}
        return [_case_row(row, numbers[self.patients[row.case]]) for row in self.rows]

    def unscored_rows(self) -> list[dict[str, Cell]]:
        """One row a case without scores, with some of the columns of the others."""
        return [{"case": one.case, "status": one.problem.value, "message": one.message} for one in self.unscored]

    def to_json(self) -> dict[str, object]:
        """All of it as plain JSON values."""
        bootstrap = self.settings.bootstrap
        return {
            "settings": {
                "nsd_tolerance": self.settings.tolerance,
                "distance_unit": self.unit.value,
                "volume_unit": self.volume_unit,
                "resamples": bootstrap.resamples,
                "confidence_level": bootstrap.level,
                "seed": bootstrap.seed,
            },
            "definitions": {"hd95": HD95_DEFINITION, "nsd": NSD_DEFINITION, "averaging": AVERAGING},
            "versions": versions(),
            "structures": {one.name: one.value for one in self.scheme.structures},
            "summary": [_summary_json(summary) for summary in self.summaries],
            "cases": self.case_rows(),
            "unscored": self.unscored_rows(),
        }


def versions() -> dict[str, str]:
    """The software that makes the scores."""
    return {
        "medseg": medseg.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def shown(score: str, value: float) -> str:
    """A value of the named score for people; a dash for NaN."""
    if math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "\N{INFINITY}"
    return f"{value:.3f}" if score in _SHARES else number(value)


def interval_text(score: str, mean: Mean, between: str = " to ") -> str | None:
    """``0.812 to 0.921``, or None if there is no interval."""
    low, high = mean.interval.low, mean.interval.high
    return None if math.isnan(low) else f"{shown(score, low)}{between}{shown(score, high)}"


def _case_row(row: StructureScore, patient: int) -> dict[str, Cell]:
    return {
        "case": row.case,
        "patient": patient,
        "structure": row.structure,
        "status": row.status.value,
        **{name: _cell(getattr(row, name)) for name in (*OVERLAPS, *DISTANCES)},
        "nsd_tolerance": row.tolerance,
        "distance_unit": row.unit.value,
        **{name: _cell(getattr(row, name)) for name in VOLUMES},
        "volume_unit": row.volume_unit,
        "tp": row.tp,
        "fp": row.fp,
        "fn": row.fn,
        "tn": row.tn,
    }


CASE_COLUMNS = (
    "case", "patient", "structure", "status", *OVERLAPS, *DISTANCES, "nsd_tolerance", "distance_unit", *VOLUMES,
    "volume_unit", "tp", "fp", "fn", "tn", "message",
)  # fmt: skip
"""Columns of scores.csv; only a case without scores has a message."""


def _summary_json(summary: Summary) -> dict[str, object]:
    return {
        "structure": summary.structure,
        "statuses": {status.value: count for status, count in summary.statuses.items()},
        "infinite_hd95_counted_as_image_diagonal": summary.replaced,
        "means": {name: _mean_json(mean) for name, mean in summary.means.items()},
    }


def _mean_json(mean: Mean) -> dict[str, Cell]:
    return {
        "mean": _cell(mean.value),
        "low": _cell(mean.interval.low),
        "high": _cell(mean.interval.high),
        "interval": mean.interval.method.value,
        "patients": mean.patients,
        "cases": mean.cases,
    }


def _cell(value: float) -> Cell:
    return "inf" if math.isinf(value) else _number(value)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _rounded(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)
