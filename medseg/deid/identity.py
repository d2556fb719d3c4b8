"""Whose object it is, as far as pseudonyms need to know."""

from __future__ import annotations

from dataclasses import dataclass, field

from medseg.core.pseudonyms import ProjectKey


@dataclass(frozen=True)
class PatientIdentity:
    """What tells patients apart; never shown.

    Attributes:
        issuer: Issuer of Patient ID (0010,0021), which may be empty.
        number: Patient ID (0010,0020); empty if the files have none.
        study_uid: Stands for the patient if there is no number: then each study is a patient of its own.
    """

    issuer: str = field(repr=False)
    number: str = field(repr=False)
    study_uid: str = field(repr=False)

    def pseudonym(self, key: ProjectKey) -> str:
        """The patient's name from now on."""
        if self.number:
            return key.patient(self.issuer, self.number)
        return key.name("patient", f"study {key.uid(self.study_uid)}")
