"""Label schemes from files: what an entry may say, and what the dictionary adds."""

from __future__ import annotations

import pytest
from dataset_factories import pairs, write_json

from medseg.core.anatomy import known_structure
from medseg.core.errors import LabelError, ReadError
from medseg.core.labels import CodedConcept, Laterality, Structure, palette_colour
from medseg.data.layouts import open_dataset
from medseg.data.structures import LabelEntry, scheme_from_values

OWN = {"value": "1", "scheme": "99X", "meaning": "own"}


def test_names_of_the_dictionary_bring_colours_codes_and_sides():
    kidney, thing = scheme_from_values({"kidney_right": 1, "thing": 2}, "a file").structures
    known = known_structure("right kidney")
    assert kidney == Structure("kidney_right", 1, known.colour, known.code, None, Laterality.RIGHT)
    assert thing == Structure("thing", 2, palette_colour(1))


def test_an_entry_may_say_more_than_its_value(tmp_path):
    folder = pairs(tmp_path)
    entry = {"value": 1, "colour": [1, 2, 3], "code": OWN, "category": OWN, "laterality": "left"}
    write_json(folder / "labels.json", {"background": 0, "one": entry, "liver": {"value": 2}})
    one, liver = open_dataset(folder).scheme.structures
    own = CodedConcept("1", "99X", "own")
    assert one == Structure("one", 1, (1, 2, 3), own, own, Laterality.LEFT)
    assert liver.code.value == "10200004"


def test_a_value_to_ignore_may_be_an_entry():
    assert scheme_from_values({"one": 1, "ignore": LabelEntry(value=9)}, "a file").ignore == 9


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"colour": [1, 2, 3]}, r"labels\.json: .*labels\.one\.LabelEntry\.value: field required"),
        ({"value": 0}, r"labels\.json: .*labels\.one\.LabelEntry\.value: input should be greater than 0"),
        ({"value": 1, "color": [1, 2, 3]}, r"labels\.one\.LabelEntry\.color: extra inputs are not permitted"),
    ],
)
def test_an_entry_that_is_not_sound(tmp_path, entry, message):
    folder = pairs(tmp_path)
    write_json(folder / "labels.json", {"one": entry})
    with pytest.raises(ReadError, match=message):
        open_dataset(folder)


def test_regions_have_no_entries():
    with pytest.raises(
        LabelError, match=r"a file: lists of values \(regions\) and entries with a colour or code do not"
    ):
        scheme_from_values({"whole": (1, 2), "core": LabelEntry(value=1)}, "a file")
