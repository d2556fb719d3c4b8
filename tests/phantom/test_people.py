from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from medseg.phantom.people import Person, Scanner, Visit


def visit(born: dt.date, day: dt.date) -> Visit:
    person = Person("Family^Given", "1", "F", born, 1.0)
    scanner = Scanner("maker", "model", "1", "SOFT", signed=False, thickness=1.0)
    return Visit(person, day, "101010", "1", "D^D", "H", scanner)


@pytest.mark.parametrize(("month", "day", "age"), [(3, 9, 49), (3, 10, 50), (3, 11, 50), (12, 31, 50)])
def test_age_is_counted_in_completed_years(month, day, age):
    assert visit(dt.date(1960, 3, 10), dt.date(2010, month, day)).age == age


@pytest.mark.parametrize("sex", ["F", "M"])
def test_people_are_adults_below_ninety(sex):
    rng = np.random.default_rng(0)
    for _ in range(200):
        drawn = Visit.draw(rng, Person.draw(rng, sex))
        assert drawn.person.sex == sex
        assert 21 <= drawn.age < 90  # from ninety on, the age itself identifies
        assert 0.8 < drawn.person.scale < 1.2


def test_numbers_differ_from_person_to_person():
    rng = np.random.default_rng(0)
    people = [Person.draw(rng, "F") for _ in range(100)]
    assert len({person.number for person in people}) == 100
