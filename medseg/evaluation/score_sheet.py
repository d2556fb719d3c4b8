"""The scores of a model as its card keeps them: means of groups, and nothing of a single case."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from medseg.core.geometry import LengthUnit

from .aggregate import Mean
from .cohort import FEWEST_NAMED, is_attribute, is_impersonal
from .result import finite


class Basis(StrEnum):
    """Which cases were scored."""

    VALIDATION = "validation"
    OUT_OF_FOLD = "out of fold"
    EVALUATION = "evaluation"


class Figures(BaseModel):
    """A part of a sheet; what else a file says is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Figure(Figures):
    """A mean over patients with its confidence interval; what is not known is None."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    patients: int = 0
    cases: int = 0

    @classmethod
    def of(cls, mean: Mean) -> Self:
        """The figure of a mean."""
        low, high = finite(mean.interval.low), finite(mean.interval.high)
        return cls(mean=finite(mean.value), low=low, high=high, patients=mean.patients, cases=mean.cases)


class StructureFigures(Figures):
    """One structure, or the foreground."""

    structure: str
    means: dict[str, Figure]
    """By score: ``dice``, and where they were measured ``hd95`` and ``nsd``."""
    statuses: dict[str, int] = {}
    """How many cases were ``missed``, ``false_positive`` and so on; empty if nobody counted."""


class GroupFigures(Figures):
    """Patients with one value of an attribute."""

    value: str
    patients: int
    mean: float | None = None
    """Of their Dice; None where they are too few to judge, as the interval."""
    low: float | None = None
    high: float | None = None

    @property
    def dice(self) -> Figure:
        """Of these patients."""
        return Figure(mean=self.mean, low=self.low, high=self.high, patients=self.patients)


class AttributeFigures(Figures):
    """The Dice by one attribute."""

    attribute: str
    groups: tuple[GroupFigures, ...]
    other: int = Field(default=0, validation_alias=AliasChoices("other", "values_of_single_patients"))
    """Patients with values that are not named."""
    unknown: int = 0
    gap: float | None = None
    worst: str | None = None
    p_adjusted: float | None = None


class Bin(Figures):
    """Voxels that were given about one probability."""

    voxels: int
    confidence: float | None
    frequency: float | None


class CalibrationFigures(Figures):
    """The probabilities of one structure."""

    structure: str
    ece: Figure
    pooled_ece: float | None = None
    bins: tuple[Bin, ...] = ()


class ScoreSheet(Figures):
    """All scores of one set of cases."""

    basis: Basis
    patients: int
    cases: int
    structures: tuple[StructureFigures, ...] = Field(min_length=1)
    """In the order of the scheme, then the foreground if there are several."""
    attributes: tuple[AttributeFigures, ...] = ()
    calibration: tuple[CalibrationFigures, ...] = ()
    unit: LengthUnit = LengthUnit.MM
    """Of distances."""
    tolerances: dict[str, float] = {}
    """Of the NSD, by structure."""
    level: float = 0.95
    """Of the intervals."""


def nameable(attributes: Iterable[AttributeFigures]) -> tuple[AttributeFigures, ...]:
    """The attributes that have a group to name; groups of fewer than five patients are counted together."""
    kept = []
    for one in attributes:
        named = tuple(group for group in one.groups if group.patients >= FEWEST_NAMED and is_impersonal(group.value))
        if named and is_attribute(one.attribute):
            others = sum(group.patients for group in one.groups if group not in named)
            worst = one.worst if one.worst in {group.value for group in named} else None
            kept.append(one.model_copy(update={"groups": named, "other": one.other + others, "worst": worst}))
    return tuple(kept)
