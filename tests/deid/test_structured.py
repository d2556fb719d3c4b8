"""Content items by the rows of Table E.3.4-1."""

import pytest
from pydicom.dataset import Dataset
from small_engine import SmallEngine

from medseg.config.deid import Option
from medseg.core.errors import DeidError
from medseg.deid.elements import Raw
from medseg.deid.structured import clean_structured, removed_content
from medseg.deid.table import read_table

VALUES = {
    "TEXT": ("TextValue", "liver of Nettlebaum"),
    "PNAME": ("PersonName", "Nettlebaum^Odo"),
    "DATE": ("Date", "20200102"),
    "TIME": ("Time", "101112"),
    "DATETIME": ("DateTime", "20200102101112"),
    "UIDREF": ("UID", "1.2.3"),
}


def code(value, scheme="DCM", meaning="Finding"):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(value_type, concept="1", scheme="99X", value=None, children=()):
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    item.ConceptNameCodeSequence = [code(concept, scheme)]
    if value_type in VALUES:
        keyword, default = VALUES[value_type]
        setattr(item, keyword, value or default)
    elif value_type in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        item.ReferencedSOPSequence = [Dataset()]
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    elif value_type == "NUM":
        item.MeasuredValueSequence = [Dataset()]
        item.MeasuredValueSequence[0].NumericValue = value or "42"
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [code("a", "UCUM", "year")]
    elif value_type == "CODE":
        item.ConceptCodeSequence = [code("M", "DCM", "male")]
    if children:
        item.ContentSequence = list(children)
    return item


def reference(*path):
    item = Dataset()
    item.RelationshipType = "INFERRED FROM"
    item.ReferencedContentItemIdentifier = list(path)
    return item


def value_of(item):
    return item[VALUES[item.ValueType][0]].value


def expected(rule, options):
    """What becomes of an item, straight from the row."""
    actions = {rule.options[option] for option in options if option in rule.options}
    if "K" in actions:
        return "kept"
    return "cleaned" if "C" in actions else "gone" if rule.basic == "X" else "dummy"


@pytest.mark.parametrize("option", [None, *Option])
def test_every_row_is_followed(option):
    for rule in read_table().content.values():
        _check_row(rule, SmallEngine(*([option] if option else [])))


def _check_row(rule, engine):
    item = content(rule.value_type, rule.value, rule.scheme)
    kept = clean_structured([item], engine)
    fate = expected(rule, engine.options)
    assert kept == ([] if fate == "gone" else [item])
    if fate == "gone":
        assert ("CodeValue", rule.value) in engine.taken
    elif rule.value_type == "TEXT":
        texts = {"kept": "liver of Nettlebaum", "cleaned": "liver of", "dummy": "removed"}
        assert value_of(item).strip() == texts[fate]
        assert bool(engine.taken) is (fate == "dummy")
    elif rule.value_type == "UIDREF":
        assert value_of(item) == ("1.2.3" if fate == "kept" else "2.25.123")


@pytest.mark.parametrize(
    ("value_type", "value"),
    [("TEXT", "liver of"), ("PNAME", "Removed"), ("DATE", "19000101"), ("TIME", "000000"), ("UIDREF", "2.25.123")],
)
def test_items_without_a_row_go_by_their_attribute(value_type, value):
    item = content(value_type)
    assert clean_structured([item], SmallEngine()) == [item]
    assert value_of(item) == value


def test_full_dates_stay_where_they_may():
    item, birth = content("DATE"), content("DATE", "121031", "DCM")
    assert clean_structured([item, birth], SmallEngine(Option.RETAIN_FULL_DATES)) == [item]
    assert value_of(item) == "20200102"


def test_a_finding_that_is_a_code_stays():
    item = content("CODE", "121071", "DCM")
    assert clean_structured([item], SmallEngine()) == [item]
    assert item.ConceptCodeSequence[0].CodeValue == "M"


def test_old_snomed_codes_meet_the_rows_too():
    item = content("TEXT", "G-C0E3", "SRT")
    assert clean_structured([item], SmallEngine()) == [item]
    assert value_of(item).strip() == "removed"


def test_long_code_values_meet_the_rows_too():
    item = content("TEXT", "121030", "DCM")
    name = item.ConceptNameCodeSequence[0]
    name.LongCodeValue = name.CodeValue
    del name.CodeValue
    assert value_of(item)
    clean_structured([item], SmallEngine())
    assert value_of(item).strip() == "removed"


def test_what_goes_takes_its_children_along():
    child = content("CODE", children=[content("PNAME")])
    engine = SmallEngine()
    assert clean_structured([content("CONTAINER", "121000", "DCM", children=[child])], engine) == []
    assert ("PersonName", "Nettlebaum^Odo") in engine.taken


def test_items_in_items_are_cleaned():
    inner = content("CONTAINER", children=[content("TEXT"), content("TEXT", "121030", "DCM"), content("PNAME")])
    outer = content("CONTAINER", children=[content("TEXT", "121106", "DCM"), inner])
    assert clean_structured([outer], SmallEngine()) == [outer]
    assert list(outer.ContentSequence) == [inner]
    assert [str(value_of(item)).strip() for item in inner.ContentSequence] == ["liver of", "removed", "Removed"]


def test_an_item_without_children_left_has_no_sequence():
    outer = content("CONTAINER", children=[content("TEXT", "121106", "DCM")])
    clean_structured([outer], SmallEngine())
    assert "ContentSequence" not in outer


def test_references_follow_their_targets():
    gone, target = content("TEXT", "121106", "DCM"), content("NUM")
    inner = content("CONTAINER", children=[gone, target])
    items = [content("TEXT", "121106", "DCM"), inner, reference(1, 2, 2)]
    kept = clean_structured(items, SmallEngine())
    assert kept == [inner, items[2]]
    assert list(items[2].ReferencedContentItemIdentifier) == [1, 1, 1]


def test_references_stay_when_nothing_goes():
    items = [content("NUM"), reference(1, 1), reference(1)]
    assert clean_structured(items, SmallEngine()) == items
    assert [items[1].ReferencedContentItemIdentifier, items[2].ReferencedContentItemIdentifier] == [[1, 1], 1]


def test_references_to_what_went_go_too():
    parent = content("CONTAINER", "121000", "DCM", children=[content("NUM")])
    items = [parent, content("NUM"), reference(1, 1, 1), reference(1, 2), reference(1, 9), reference(1)]
    kept = clean_structured(items, SmallEngine())
    assert kept == [items[1], items[3], items[4], items[5]]
    assert [item.ReferencedContentItemIdentifier for item in kept[1:]] == [[1, 1], [1, 9], 1]


def test_an_empty_reference_is_none():
    item = Dataset()
    item.ReferencedContentItemIdentifier = None
    assert clean_structured([content("TEXT", "121106", "DCM"), item], SmallEngine()) == [item]


@pytest.mark.parametrize(
    ("age", "unit", "kept"),
    [("89", "a", "89"), ("97", "a", "90"), ("97", "mo", "97"), ("", "a", "90"), ("x", "a", "90")],
)
def test_ages_of_the_very_old_are_capped(age, unit, kept):
    item = content("NUM", "121033", "DCM", value="1")
    measured = item.MeasuredValueSequence[0]
    measured[0x0040A30A] = Raw(0x0040A30A, "DS", len(age), age.encode(), 0, False, True)
    measured.MeasurementUnitsCodeSequence = [code(unit, "UCUM")]
    engine = SmallEngine(Option.RETAIN_PATIENT_CHARACTERISTICS)
    assert clean_structured([item], engine) == [item]
    assert str(measured.NumericValue) == kept
    assert bool(engine.taken) is (kept != age)


def test_items_without_name_or_type_are_walked():
    item = Dataset()
    item.TextValue = "Nettlebaum"
    assert clean_structured([item], SmallEngine()) == [item]
    assert item.TextValue == "removed"


def test_a_text_item_without_text_stays():
    item = content("TEXT", "121030", "DCM")
    del item.TextValue
    assert clean_structured([item], SmallEngine()) == [item]


def test_items_nested_without_end_are_refused():
    item = content("CONTAINER")
    for _ in range(40):
        item = content("CONTAINER", children=[item])
    with pytest.raises(DeidError, match="more than 32 deep"):
        clean_structured([item], SmallEngine())


def test_what_stands_for_removed_content_is_a_comment():
    item = removed_content()
    assert (item.ValueType, item.TextValue) == ("TEXT", "removed")
    assert item.ConceptNameCodeSequence[0].CodeValue == "121106"
