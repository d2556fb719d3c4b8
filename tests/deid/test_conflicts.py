from __future__ import annotations

import pytest

from medseg.core.pseudonyms import ProjectKey
from medseg.deid.conflicts import Person, identity_of, shared_numbers

KEY = ProjectKey(b"k" * 32)
ANNA = Person("north", "4711", "Doe^Anna", "19500101")


def pseudonym(*persons, study="1.2"):
    identity = identity_of(persons, study)
    assert identity is not None
    return identity.pseudonym(KEY)


def shared(*persons):
    """Whether studies of one file each are told apart as several people."""
    studies = {number: (identity_of([person], f"1.{number}"), [person]) for number, person in enumerate(persons)}
    return shared_numbers(studies)


def test_the_issuer_tells_equal_ids_apart():
    assert pseudonym(ANNA) != pseudonym(Person("south", "4711", "Doe^Anna", "19500101"))


def test_the_name_does_not_make_the_patient():
    assert pseudonym(ANNA) == pseudonym(Person("north", "4711", "Smith^Anna", "19500101"), study="9.9")


def test_a_study_with_and_without_the_issuer_is_one_patient():
    assert pseudonym(ANNA, Person("", "4711", "Doe^Anna", "19500101")) == pseudonym(ANNA)
    assert pseudonym(Person("", "", "", ""), ANNA) == pseudonym(ANNA)


def test_without_an_id_the_study_is_the_patient():
    nobody = Person("north", "", "Doe^Anna", "")
    assert pseudonym(nobody, study="1.2") == pseudonym(Person(), study="1.2") != pseudonym(nobody, study="1.3")


@pytest.mark.parametrize(
    "other",
    [
        Person("north", "4712", "Doe^Anna", "19500101"),
        Person("south", "4711", "Doe^Anna", "19500101"),
        Person("north", "4711", "Roe^Berta", "19620202"),
        Person("", "", "Roe^Berta", "19620202"),
    ],
    ids=["two IDs", "two issuers", "two people", "a file without an ID but of somebody else"],
)
def test_a_study_of_several_patients_has_no_identity(other):
    assert identity_of([ANNA, other], "1.2") is None


def test_one_id_for_two_people_is_told_for_all_their_studies():
    stranger = Person("north", "4711", "Roe^Berta", "19620202")
    silent = Person("north", "4711", "", "")
    elsewhere = Person("south", "4711", "Roe^Carla", "19700303")
    assert shared(ANNA, stranger, silent, elsewhere) == {0, 1, 2}


@pytest.mark.parametrize(
    "other",
    [
        Person("north", "4711", "Smith^Anna", "19500101"),
        Person("north", "4711", "DOE^ANNA^^^", "19510101"),
        Person("north", "4711", "anna doe", "19500101"),
        Person("north", "4711", "Roe^Berta", ""),
        Person("south", "4711", "Roe^Berta", "19620202"),
    ],
    ids=["changed name", "corrected birth date", "other order", "no birth date", "other issuer"],
)
def test_one_person_stays_one(other):
    assert shared(ANNA, other) == frozenset()


def test_studies_without_an_id_never_collide():
    assert shared(Person("", "", "Doe^Anna", "19500101"), Person("", "", "Roe^Berta", "19620202")) == frozenset()


def test_nothing_of_a_person_is_shown():
    assert repr(ANNA) == "Person()"
