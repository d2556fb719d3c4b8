from dataclasses import replace

import pytest
from dataset_factories import dataset, listed

from medseg.core.case import CaseId
from medseg.data.split import Split
from medseg.evaluation.cohort import attribute_counts, cohort, is_attribute, is_impersonal

CASES = [CaseId(f"c{number}") for number in range(30)]
PATIENTS = {case: f"p{number // 2}" for number, case in enumerate(CASES)}  # two cases each


def with_attributes(**by_name):
    """Thirty cases of fifteen patients; each attribute is a function of the patient's number."""
    plain = listed(PATIENTS)
    cases = [
        replace(one, attributes={name: value(number // 2) for name, value in by_name.items() if value(number // 2)})
        for number, one in enumerate(plain.cases)
    ]
    return dataset(plain.folder, cases)


SPLIT = Split(tuple(CASES[:24]), tuple(CASES[24:28]), tuple(CASES[28:]))


def test_cases_and_patients_of_each_part_are_counted():
    found = cohort(with_attributes(), SPLIT)
    assert {name: (one.cases, one.patients) for name, one in found.parts.items()} == {
        "train": (24, 12), "validation": (4, 2), "test": (2, 1),
    }  # fmt: skip
    assert (found.attributes, found.unnamed) == ({}, 0)


def test_values_of_training_patients_are_counted_and_rare_ones_are_not_named():
    sex = ["F"] * 7 + ["M"] * 3 + ["MARKER"] + [""] * 4
    found = cohort(with_attributes(sex=sex.__getitem__), SPLIT)
    assert found.attributes["sex"].model_dump() == {"groups": {"F": 7}, "other": 4, "unknown": 1}
    assert "MARKER" not in found.model_dump_json()


def test_ages_are_counted_in_bands_in_their_order():
    found = cohort(with_attributes(age=lambda patient: str(65 if patient < 6 else 30)), SPLIT)
    assert list(found.attributes["age"].groups.items()) == [("20 to 39", 6), ("60 to 79", 6)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", lambda patient: f"MARKER{patient}"),  # each has an own value
        ("day", lambda _: "2024-03-01"),
        ("day", lambda _: "01.03.2024"),
        ("scan", lambda _: "20240301"),
        ("name", lambda _: "Doe^Jane"),
        ("note", lambda _: "a" * 41),
        ("place", lambda _: "/clinic/Jane Doe"),
        ("uid", lambda _: "1.2.840.113619.2"),
        ("birth_year", lambda _: "1970"),
        ("physician", lambda _: "Dr Marker"),
        ("jane@clinic.example", lambda _: "yes"),
    ],
)
def test_what_may_tell_of_a_person_is_counted_as_left_out(name, value):
    found = cohort(with_attributes(**{name: value, "site": lambda _: "A"}), SPLIT)
    assert (list(found.attributes), found.unnamed) == (["site"], 1)
    assert value(1) not in found.model_dump_json()


def test_a_patient_with_two_values_is_unknown():
    patients = dict.fromkeys(map(CaseId, "abcdef"), "p0") | {CaseId(f"x{n}"): f"q{n}" for n in range(5)}
    site = dict.fromkeys(patients, "A") | {CaseId("a"): "B"}
    assert attribute_counts({"site": site}, patients)["site"].model_dump() == {
        "groups": {"A": 5}, "other": 0, "unknown": 1,
    }  # fmt: skip


def test_usual_values_are_impersonal():
    for text in ("F", "40 to 59", "90+", "Siemens", "GE/Philips", "1.5", "0.5-1.5", "Aquilion ONE", "60 and over"):
        assert is_impersonal(text)
    assert is_attribute("field_strength")
    assert not is_attribute("BirthDate")
