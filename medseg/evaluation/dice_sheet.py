"""The score sheet of cases of which the Dice alone is known, as training leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from medseg.core.case import CaseId
from medseg.data.dataset import Dataset

from .aggregate import FOREGROUND, mean, mean_over_patients
from .attributes import Values, known_attributes
from .audit import audit
from .intervals import Bootstrap
from .result import finite
from .score_sheet import AttributeFigures, Basis, Figure, GroupFigures, ScoreSheet, StructureFigures, nameable
from .subgroups import Group, SubgroupAudit

DEFAULT = Bootstrap()


class CaseDice(Protocol):
    """The Dice of one structure of one case; NaN where neither side holds it."""

    @property
    def case(self) -> CaseId:
        """Whose it is."""

    @property
    def structure(self) -> str:
        """Of what."""

    @property
    def dice(self) -> float:
        """How much overlaps."""


def validation_sheet(scores: Sequence[CaseDice], dataset: Dataset) -> ScoreSheet | None:
    """The sheet of the validation cases of a training; None if there are none.

    Args:
        scores: One a case and structure.
        dataset: Whose cases these are.
    """
    if not scores:
        return None
    files = [dataset.case(case) for case in dict.fromkeys(row.case for row in scores)]
    return dice_sheet(scores, {case.id: case.patient for case in files}, known_attributes(files))


def dice_sheet(
    scores: Sequence[CaseDice],
    patients: Mapping[CaseId, str],
    attributes: Values,
    bootstrap: Bootstrap = DEFAULT,
) -> ScoreSheet:
    """The sheet of validation cases.

    Args:
        scores: One a case and structure, at least one.
        patients: Whose case it is.
        attributes: What patients are told apart by, by attribute and case.
        bootstrap: How intervals are made.
    """
    values: dict[str, dict[CaseId, float]] = {}
    for row in scores:
        values.setdefault(row.structure, {})[row.case] = row.dice
    cases = dict.fromkeys(row.case for row in scores)
    foreground = {case: mean([dice[case] for dice in values.values() if case in dice]) for case in cases}
    if len(values) > 1:
        values[FOREGROUND] = foreground
    found = audit(foreground, attributes, patients, bootstrap)
    return ScoreSheet(
        basis=Basis.VALIDATION,
        patients=len({patients[case] for case in cases}),
        cases=len(cases),
        structures=tuple(
            StructureFigures(structure=name, means={"dice": Figure.of(mean_over_patients(dice, patients, bootstrap))})
            for name, dice in values.items()
        ),
        attributes=nameable(_attribute(one) for one in found.attributes),
        level=bootstrap.level,
    )


def _attribute(one: SubgroupAudit) -> AttributeFigures:
    return AttributeFigures(
        attribute=one.attribute,
        groups=tuple(_group(group) for group in one.groups),
        unknown=one.unknown,
        gap=finite(one.gap),
        worst=one.worst,
        p_adjusted=finite(one.p_adjusted),
    )


def _group(group: Group) -> GroupFigures:
    if not group.is_judged:
        return GroupFigures(value=group.value, patients=group.patients)
    low, high = finite(group.interval.low), finite(group.interval.high)
    return GroupFigures(value=group.value, patients=group.patients, mean=group.mean, low=low, high=high)
