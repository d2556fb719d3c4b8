"""The table of the standard, read from its file."""

import pytest

from medseg.config.deid import Option
from medseg.deid.table import CURVES, OVERLAY_COMMENTS, OVERLAY_DATA, PRIVATE, parse_table, read_table


def test_the_table_is_whole():
    table = read_table()
    assert table.edition == "2026d"
    assert len(table.rules) + len(table.patterns) == 657
    assert len(table.content) == 214
    assert set(table.patterns) == {PRIVATE, CURVES, OVERLAY_DATA, OVERLAY_COMMENTS}
    assert set(table.codes) == {None, *Option}


@pytest.mark.parametrize(
    ("tag", "basic", "options"),
    [
        (0x00100010, "Z", {}),
        (0x0020000D, "U", {Option.RETAIN_UIDS: "K"}),
        (0x00101010, "X", {Option.RETAIN_PATIENT_CHARACTERISTICS: "K"}),
        (0x0008103E, "X", {Option.CLEAN_DESCRIPTORS: "C"}),
        (0x0040A730, "D", {Option.CLEAN_STRUCTURED_CONTENT: "C"}),
    ],
)
def test_rows_are_those_of_the_standard(tag, basic, options):
    rule = read_table().rules[tag]
    assert (int(rule.tag, 16), rule.basic, dict(rule.options)) == (tag, basic, options)


def test_one_concept_may_have_a_row_for_each_value_type():
    content = read_table().content
    assert content["DCM", "121112", "IMAGE"].basic == "D"
    assert content["DCM", "121112", "WAVEFORM"].basic == "X"
    assert content["SCT", "371524004", "TEXT"].options == {Option.CLEAN_DESCRIPTORS: "C"}


def test_codes_say_what_was_done():
    codes = read_table().codes
    assert (codes[None].value, codes[None].scheme) == ("113100", "DCM")
    assert codes[Option.CLEAN_PIXEL_DATA].value == "113101"


def test_an_unknown_option_is_refused():
    row = {"tag": "00100010", "name": "Patient's Name", "basic": "Z", "options": {"retain_everything": "K"}}
    with pytest.raises(ValueError, match="retain_everything"):
        parse_table({"_note": {"edition": "x"}, "rules": [row], "content_items": [], "cid_7050": {}})
