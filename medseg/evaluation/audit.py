"""The subgroup audit of an evaluation: its mean Dice by each attribute that tells patients apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medseg.core.case import CaseId

from .aggregate import by_patient
from .attributes import Values
from .intervals import Bootstrap
from .subgroups import Group, SubgroupAudit, audit_subgroups

_FEW = 2
"""So many values make groups in any number of patients, such as the sex of three."""


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what was not.

    Attributes:
        attributes: One audit each.
        left_out: Attributes that make no groups, and why.
    """

    attributes: tuple[SubgroupAudit, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def audit(
    dice: Mapping[CaseId, float], attributes: Values, patients: Mapping[CaseId, str], settings: Bootstrap
) -> Audit:
    """The audit of a score of each case.

    A patient's value of an attribute is that of all its cases; where they differ, it is unknown. An attribute of which
    nearly every patient has a value of its own, such as a name, makes no groups and would identify them: it is left
    out.

    Args:
        dice: By case; NaN where a case has no score.
        attributes: By attribute and case.
        patients: Whose case it is.
        settings: How intervals and tests are made.
    """
    scores = by_patient(dice, patients)
    kept: dict[str, dict[str, str]] = {}
    left_out: dict[str, str] = {}
    for name, by_case in attributes.items():
        values = {who: value for who, value in agreed(by_case, patients).items() if who in scores}
        reason = _why_not(list(values.values()))
        if reason:
            left_out[name] = reason
        else:
            kept[name] = values
    return Audit(audit_subgroups(scores, kept, settings), left_out)


def agreed(by_case: Mapping[CaseId, str], patients: Mapping[CaseId, str]) -> dict[str, str]:
    """The value of each patient all of whose cases have the same; cases that ``patients`` does not name count not."""
    told: dict[str, set[str]] = {}
    for case, value in by_case.items():
        if case in patients:
            told.setdefault(patients[case], set()).add(value)
    return {patient: next(iter(values)) for patient, values in told.items() if len(values) == 1}


def _why_not(values: list[str]) -> str:
    different = len(set(values))
    if not values:
        return "no patient with a score has it"
    if different == 1:
        return "all patients have the same value"
    is_own = different > max(_FEW, len(values) / 2)
    return "nearly every patient has a value of their own" if is_own else ""


def named_groups(one: SubgroupAudit) -> tuple[tuple[Group, ...], int]:
    """The groups that may be named, and how many values only a single patient has: those might identify it."""
    named = tuple(group for group in one.groups if group.patients > 1)
    return named, len(one.groups) - len(named)
