"""Invented people and invented scanners; every name here was made up to be recognised as such."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

_FAMILIES = (
    "Brambleshanks", "Crumpetson", "Dandelionski", "Fizzlebottom", "Marzipanovich", "Nettlebaum", "Puddlemeer",
    "Quillfeather", "Snodgrackle", "Thimblewick", "Wobblethorpe", "Zephyrstein",
)  # fmt: skip
_GIVEN = {
    "F": ("Marigolda", "Ottolinette", "Philomenta", "Quennetta", "Tulipina", "Zanzibelle"),
    "M": ("Bartholomox", "Ignatzio", "Octavion", "Peregrinox", "Thaddeusz", "Wolfgrim"),
}
_DOCTORS = ("Sawbonekin^Hepzibetta", "Leechworthy^Archimbald", "Poulticer^Ludmillana")
_HOSPITALS = ("Infirmary of Nowhereshire", "Lighthouse Rock Polyclinic")
_SIZES = {"F": 0.95, "M": 1.02}
_FIRST_DAY = dt.date(2003, 1, 7)
_DAYS = 6000


@dataclass(frozen=True)
class Person:
    """A patient who does not exist.

    Attributes:
        name: As DICOM writes it, ``family^given``.
        number: The hospital's number.
        sex: ``F`` or ``M``.
        born: Birth date.
        scale: Size of the body, 1 is average.
    """

    name: str
    number: str
    sex: str
    born: dt.date
    scale: float

    @classmethod
    def draw(cls, rng: np.random.Generator, sex: str) -> Person:
        """A random adult."""
        name = f"{rng.choice(_FAMILIES)}^{rng.choice(_GIVEN[sex])}"
        born = _FIRST_DAY - dt.timedelta(days=int(rng.integers(22 * 366, 70 * 365)))
        scale = _SIZES[sex] * float(np.exp(rng.normal(0, 0.03)))
        return cls(name, f"ZX{rng.integers(10**7, 10**8)}", sex, born, scale)


@dataclass(frozen=True)
class Scanner:
    """A scanner that does not exist, with its habits.

    Attributes:
        manufacturer: Its maker.
        model: Its name.
        serial: Its number.
        kernel: Its reconstruction kernel.
        signed: Whether it stores pixels as signed numbers.
        thickness: Slice thickness that it states, as a multiple of the distance between slices.
    """

    manufacturer: str
    model: str
    serial: str
    kernel: str
    signed: bool
    thickness: float


SCANNERS = (
    Scanner("Nonesuch Imaging", "Spiral 9", "NSI-9-00417", "SOFT", signed=False, thickness=1.0),
    Scanner("Makebelieve Medical", "Tunnelview", "MBM77120045", "B30f", signed=True, thickness=1.25),
)


@dataclass(frozen=True)
class Visit:
    """One examination of a person, with what a header says about it."""

    person: Person
    day: dt.date
    time: str
    accession: str
    doctor: str
    hospital: str
    scanner: Scanner

    @classmethod
    def draw(cls, rng: np.random.Generator, person: Person) -> Visit:
        """A random examination."""
        day = _FIRST_DAY + dt.timedelta(days=int(rng.integers(_DAYS)))
        time = f"{rng.integers(7, 19):02d}{rng.integers(60):02d}{rng.integers(60):02d}"
        accession = f"ACX{rng.integers(10**8, 10**9)}"
        scanner = SCANNERS[int(rng.integers(len(SCANNERS)))]
        return cls(person, day, time, accession, str(rng.choice(_DOCTORS)), str(rng.choice(_HOSPITALS)), scanner)

    @property
    def age(self) -> int:
        """Age in completed years on that day."""
        birthday_to_come = (self.day.month, self.day.day) < (self.person.born.month, self.person.born.day)
        return self.day.year - self.person.born.year - int(birthday_to_come)
