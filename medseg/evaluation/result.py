"""What an evaluation found, and its short form for the console."""

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
from medseg.metrics.table import StructureScore
from medseg.render.plots import number

from .aggregate import Mean, Summary
from .audit import Audit
from .calibration_scores import CalibrationSummary, CaseCalibration
from .instance_scores import CaseInstances, InstanceSummary
from .intervals import Interval
from .score_names import SCORES, Kind
from .scoring import Problem, Unscored
from .settings import Settings
from .whole_map import WholeMap

Cell = str | int | float | None
SMALLEST_P = 0.001
"""P values below are only called so."""


@dataclass(frozen=True, eq=False)
class Details:
    """What was measured beside the scores of each structure; empty where it was not.

    Attributes:
        whole_map: The confusion of structures; None where they may overlap.
        case_instances: Instances of each case.
        instances: Of all cases together.
        case_calibration: Probabilities of each case.
        calibration: Of all cases together.
        audit: Dice by subgroups.
    """

    whole_map: WholeMap | None = None
    case_instances: tuple[CaseInstances, ...] = ()
    instances: tuple[InstanceSummary, ...] = ()
    case_calibration: tuple[CaseCalibration, ...] = ()
    calibration: tuple[CalibrationSummary, ...] = ()
    audit: Audit = field(default_factory=Audit)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of all cases, their means, and the cases without scores.

    Attributes:
        scheme: The structures.
        settings: What defines the scores.
        rows: One a case and structure.
        unscored: Cases that failed or lack a side, or whose probabilities could not be used.
        summaries: One a structure, then the foreground mean if there are several.
        patients: Whose case it is.
        details: What was measured besides.
    """

    scheme: LabelScheme
    settings: Settings
    rows: tuple[StructureScore, ...]
    unscored: tuple[Unscored, ...]
    summaries: tuple[Summary, ...]
    patients: Mapping[CaseId, str]
    details: Details = field(default_factory=Details)

    @property
    def has_failures(self) -> bool:
        """Whether some case could not be scored for an error; a missing side is none."""
        return any(one.problem in (Problem.FAILED, Problem.NO_CALIBRATION) for one in self.unscored)

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
                "Dice": rounded(one.means["dice"].value, 3),
                level: interval_text("dice", one.means["dice"].interval, "-"),
                f"HD95 {self.unit.value}": rounded(one.means["hd95"].value, 2),
                "NSD": rounded(one.means["nsd"].value, 3),
                "missed": one.statuses[Status.MISSED],
                "false": one.statuses[Status.FALSE_POSITIVE],
                "empty": one.statuses[Status.BOTH_EMPTY],
            }
            for one in self.summaries
        ]


def versions() -> dict[str, str]:
    """The software that makes the scores."""
    return {
        "medseg": medseg.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def shown(score: str, value: float) -> str:
    """A value of the named score for people, three decimals for shares; a dash for NaN."""
    if math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "\N{INFINITY}"
    return number(value) if score in SCORES and SCORES[score].kind is not Kind.SHARE else share(value)


def share(value: float) -> str:
    """A share with three decimals and a true minus; a dash for NaN."""
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def p_text(value: float) -> str:
    """A p value with three decimals; a dash for NaN."""
    return f"< {SMALLEST_P:g}" if value < SMALLEST_P else share(value)


def interval_text(score: str, interval: Interval, between: str = " to ") -> str | None:
    """``0.812 to 0.921``, or None if there is no interval."""
    if math.isnan(interval.low):
        return None
    return f"{shown(score, interval.low)}{between}{shown(score, interval.high)}"


def mean_cell(score: str, mean: Mean | None, *, with_interval: bool = True) -> tuple[str, str]:
    """A mean and its interval as a cell of a table."""
    if mean is None:
        return "\N{EN DASH}", ""
    return shown(score, mean.value), (interval_text(score, mean.interval) or "") if with_interval else ""


def cell(value: float) -> Cell:
    """A value for a file: NaN is None, an infinite distance the text ``inf``."""
    return "inf" if math.isinf(value) else finite(value)


def finite(value: float) -> float | None:
    """A value that is never infinite; None for NaN."""
    return None if math.isnan(value) else float(value)


def rounded(value: float, digits: int) -> float | None:
    """A value for the console; None for NaN."""
    return None if math.isnan(value) else round(value, digits)
