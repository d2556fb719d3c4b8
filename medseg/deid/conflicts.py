"""Whom the files of a study name, and where what they say cannot be true."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from .identity import PatientIdentity

SEVERAL_PATIENTS = "the files of the study name several patients"
SHARED_NUMBER = "its patient ID also stands for somebody of another name and birth date"

_SEPARATORS = re.compile(r"[\s^=,.]+")
_Study = TypeVar("_Study")


@dataclass(frozen=True)
class Person:
    """What one file says about its patient; identifiers stay out of the ``repr``.

    Attributes:
        issuer: Issuer of Patient ID (0010,0021).
        number: Patient ID (0010,0020).
        name: Patient's Name (0010,0010).
        birth: Patient's Birth Date (0010,0030).
    """

    issuer: str = field(default="", repr=False)
    number: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    birth: str = field(default="", repr=False)


def identity_of(persons: Iterable[Person], study_uid: str) -> PatientIdentity | None:
    """The one patient of a study.

    Files that leave the patient ID or its issuer empty belong to the patient whom the others name.

    Args:
        persons: What the study's files say.
        study_uid: Stands for the patient if no file has a patient ID.

    Returns:
        None if the files name several patients.
    """
    told = set(persons)
    numbers = {one.number for one in told if one.number}
    issuers = {one.issuer for one in told if one.issuer and one.number}
    if len(numbers) > 1 or len(issuers) > 1 or _are_different(tuple(told)):
        return None
    return PatientIdentity(next(iter(issuers), ""), next(iter(numbers), ""), study_uid)


def shared_numbers(studies: Mapping[_Study, tuple[PatientIdentity, Iterable[Person]]]) -> frozenset[_Study]:
    """The studies whose patient ID stands for two people: same issuer and ID, another name and another birth date.

    Somebody who only changed the name, or whose birth date was corrected, is one person. All studies of such an ID are
    meant: whose they are is not known.

    Args:
        studies: The patient of each, and what its files say.
    """
    groups: dict[tuple[str, str], list[_Study]] = {}
    for study, (identity, _) in studies.items():
        if identity.number:
            groups.setdefault((identity.issuer, identity.number), []).append(study)
    return frozenset(
        study
        for group in groups.values()
        if _are_different(tuple({person for study in group for person in studies[study][1]}))
        for study in group
    )


def _are_different(persons: Sequence[Person]) -> bool:
    """Whether two of them differ both in name and in birth date, where both say so."""
    told = {(_name_parts(one.name), one.birth) for one in persons if one.birth and _name_parts(one.name)}
    return any(one[0] != other[0] and one[1] != other[1] for one in told for other in told)


def _name_parts(name: str) -> frozenset[str]:
    """The parts of a name whatever their order and separators (PS3.5 section 6.2, representation PN)."""
    return frozenset(_SEPARATORS.split(name.casefold())) - {""}
