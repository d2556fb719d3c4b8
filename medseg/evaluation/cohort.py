"""Who a model was trained on, as counts that identify nobody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict

from medseg.core.case import CaseId
from medseg.core.messages import redacted
from medseg.data.dataset import Dataset
from medseg.data.split import Split

from .attributes import Values, known_attributes
from .audit import agreed
from .subgroups import value_order

FEWEST_NAMED = 5
"""Patients that share a value before it is named; the others are counted together."""
_LONGEST = 40
_PEOPLE = re.compile(r"physician|operator|reader|birth|date|address|phone|mail", re.IGNORECASE)
_TELLING = re.compile(r"[\^@\n]|\d{5,}|\d{1,4}([-./])\d{1,2}\1\d{1,4}")


class PartCount(BaseModel):
    """How many there are in one part of the split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: int
    patients: int | None
    """None in bundles of older versions."""

    @classmethod
    def of(cls, cases: Sequence[CaseId], patients: Mapping[CaseId, str]) -> Self:
        """The counts of some cases."""
        return cls(cases=len(cases), patients=len({patients[case] for case in cases}))


class AttributeCounts(BaseModel):
    """How many patients have which value of an attribute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: dict[str, int]
    """Patients by value, for values that at least five share."""
    other: int
    """Patients with rarer values."""
    unknown: int
    """Patients without the attribute, or with several values of it."""


class Cohort(BaseModel):
    """The cases of a training; numbers, and values that at least five patients share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: dict[str, PartCount]
    """Of the split: ``train``, ``validation``, ``test``."""
    attributes: dict[str, AttributeCounts] = {}
    """Of the training patients, from the manifest and the headers of DICOM images."""
    unnamed: int = 0
    """Attributes that are left out."""


def cohort(dataset: Dataset, split: Split) -> Cohort:
    """The counts of a data set's parts, and of the attributes of those that train.

    A value that fewer than five patients share, or that looks like a date, a name or a number of a person, is counted
    as rarer and never named. An attribute that has no other values, or is about days or people that work there, is not
    named either.
    """
    patients = {case.id: case.patient for case in dataset.cases}
    values = known_attributes(dataset.case(case) for case in split.training)
    training = {case: patients[case] for case in split.training}
    attributes = attribute_counts(values, training)
    return Cohort(
        parts={name: PartCount.of(cases, patients) for name, cases in split.parts.items() if cases},
        attributes=attributes,
        unnamed=len(values) - len(attributes),
    )


def attribute_counts(values: Values, patients: Mapping[CaseId, str]) -> dict[str, AttributeCounts]:
    """The counts of each attribute that has a value that can be named.

    Args:
        values: By attribute and case.
        patients: Whose case it is, of all cases that count.
    """
    everybody = len(set(patients.values()))
    counts = {}
    for name, by_case in values.items():
        by_value = Counter(agreed(by_case, patients).values())
        groups = {value: by_value[value] for value in sorted(by_value, key=value_order) if _nameable(by_value, value)}
        if groups and is_attribute(name):
            known = by_value.total()
            counts[name] = AttributeCounts(groups=groups, other=known - sum(groups.values()), unknown=everybody - known)
    return counts


def is_impersonal(text: str) -> bool:
    """Whether a text is short and holds no date, long number, path, UID, or sign of a DICOM name or a mail address."""
    return len(text) <= _LONGEST and not _TELLING.search(text) and redacted(text) == text


def is_attribute(name: str) -> bool:
    """Whether a name is that of an attribute that may be shown: not of a day, or of people that work there."""
    return is_impersonal(name) and not _PEOPLE.search(name)


def _nameable(by_value: Counter[str], value: str) -> bool:
    return by_value[value] >= FEWEST_NAMED and is_impersonal(value)
