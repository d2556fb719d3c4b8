"""Each row of Table E.1-1 under the Basic Profile and each option, top level and nested: the action of the table.

The expectation is worked out here from the JSON file and highdicom's IOD tables, by code that shares nothing with the
engine. All rows stand in one data set, so that the thousands of cases take seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pydicom
import pytest
from deid_runs import KEY, clean_path, profile
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.valuerep import validate_value
from table_rows import (
    HOLDER,
    MARKER,
    NO_DATA_SET,
    PATTERNS,
    SOP_CLASSES,
    TEXTS,
    TIMEZONE,
    Row,
    planted_rows,
    rows,
    rows_file,
    table,
)

from medseg.config.deid import Option
from medseg.deid.engine import Engine

TABLE_OPTIONS = [option for option in Option if option not in (Option.CLEAN_PIXEL_DATA, Option.CLEAN_VISUAL_FEATURES)]
CHOICES: list[Option | None] = [None, *TABLE_OPTIONS]
PLACES = (*SOP_CLASSES, "nested")
_PSEUDONYMS = {0x00100010: r"patient-[0-9a-f]{16}", 0x00100020: r"patient-[0-9a-f]{16}", 0x00080050: r"A[0-9A-F]{15}"}


class Case(NamedTuple):
    """What became of one row: the element before, the element after, and by how many days dates move."""

    row: Row
    old: DataElement
    new: DataElement | None
    days: int


@cache
def attribute_types(sop_class: str) -> dict[int, str]:
    """Strictest type at the top level in any module of the IOD, from highdicom's tables."""
    standard = files("highdicom").joinpath("_standard")
    load = {name: json.loads(standard.joinpath(f"{name}.json").read_text()) for name in _STANDARD}
    modules = load["iod_module_map"][load["sop_class_iod_map"][sop_class]]
    found: dict[int, str] = {}
    for module in modules:
        for attribute in load["module_attribute_map"].get(module["key"], ()):
            tag = tag_for_keyword(attribute["keyword"])
            if tag is not None and not attribute["path"]:
                found[int(tag)] = min(found.get(int(tag), "3"), attribute["type"])
    return found


_STANDARD = ("sop_class_iod_map", "iod_module_map", "module_attribute_map")


def cases(place: str, option: Option | None, folder: Path) -> Iterator[Case]:
    """All rows, cleaned at once."""
    path = folder / "rows.dcm"
    path.write_bytes(rows_file(place))
    output = clean_path(path, Engine(profile(*([option] if option else [])), KEY))
    assert output is not None
    source, result, days = pydicom.dcmread(path), output.dataset, KEY.days(output.cleaned.patient)
    if place == "nested":
        source, result = source[HOLDER][0], result[HOLDER][0]
    for row in planted_rows(place):
        yield Case(row, source[row.tag], result.get(row.tag), days)


def expectations(row: Row, option: Option | None, place: str) -> set[str]:
    """Action codes of which one has to hold; types of nested attributes are not known, so any of a choice will do."""
    chosen = row.options.get(str(option)) if option else None
    if chosen == "K":
        return {"K"}
    if chosen == "C":
        return {f"C {option}"}
    codes = row.basic.split("/")
    if "U*" in codes:
        return {"U*"}  # always: a reference says nothing once its UIDs are replaced, and the links between objects live
    kind = attribute_types(SOP_CLASSES[place]).get(row.tag) if place in SOP_CLASSES else None
    if len(codes) == 1 or kind is None:
        return set(codes)
    order = {"1": "DUZX", "2": "ZDUX", "3": "XZDU"}[kind[0]]
    return {min(codes, key=lambda one: order.index(one[0]))}


def holds(action: str, case: Case) -> bool:
    """Whether the action was done."""
    row, old, new, _ = case
    if action == "X":
        return new is None
    if new is None:
        return _may_go(action, row)
    if action == "Z":
        return new.is_empty or (row.tag in _PSEUDONYMS and bool(re.fullmatch(_PSEUDONYMS[row.tag], str(new.value))))
    if action == "D":
        return not new.is_empty and new.value != old.value and _is_clean(new)
    if action == "U":
        return new.value == KEY.uid(old.value) and len(new.value) <= 64
    if action == "U*":
        return new.value[0].ReferencedSOPInstanceUID == KEY.uid(old.value[0].ReferencedSOPInstanceUID)
    if action == "K":
        return new.value[0].CodeValue == "C1" and _is_clean(new) if row.vr == "SQ" else new.value == old.value
    return _holds_cleaned(action.removeprefix("C "), case)


def _holds_cleaned(option: str, case: Case) -> bool:
    row, old, new, days = case
    if option == "retain_longitudinal_modified_dates" and row.vr in ("DA", "DT"):
        return str(new.value) == _moved(str(old.value), days)
    if option == "retain_longitudinal_modified_dates" and row.vr == "TM":
        return new.value == old.value
    if row.vr in TEXTS and option in ("clean_descriptors", "retain_patient_characteristics"):
        return new.value == "liver"
    return _is_clean(new) and (row.vr == "SQ" or new.value != old.value)


def _may_go(action: str, row: Row) -> bool:
    """Actions that allow an attribute to vanish, with the reason."""
    if row.tag >> 16 in (*NO_DATA_SET, 0x0004) or row.tag >> 24 in (0x50, 0x60) or row.tag >> 16 & 1:
        return True  # has no place in a data set; or an overlay, a curve or a private attribute, which always go
    if row.tag == TIMEZONE or row.vr in ("OB", "CS", "AE"):
        return action.startswith("C")  # a time zone tells the region; bytes, codes and titles have no words to keep
    return False


def _moved(text: str, days: int) -> str:
    day = date(int(text[:4]), int(text[4:6]), int(text[6:8])) + timedelta(days=days)
    return f"{day:%Y%m%d}{text[8:]}"


def _is_clean(element: DataElement) -> bool:
    """No marker at any depth, and a value that its representation allows."""
    if element.VR == "SQ":
        return all(_is_clean(inner) for one in element.value for inner in one)
    if MARKER.lower() in str(element.value).lower():
        return False
    values = [element.value] if isinstance(element.value, (str, bytes, int, float)) else element.value
    if element.VR not in ("DS", "IS", "PN"):
        for value in values or ():
            validate_value(element.VR, str(value) if not isinstance(value, (bytes, int, float)) else value, RAISE)
    return True


def wrong_rows(place: str, option: Option | None, folder: Path) -> Iterator[str]:
    for case in cases(place, option, folder):
        allowed = expectations(case.row, option, place)
        if not any(holds(action, case) for action in allowed):
            shown = "nothing" if case.new is None else f"{case.new.VR} {str(case.new.value)[:60]!r}"
            yield f"{case.row.tag:08X} {case.row.vr}: wanted {sorted(allowed)}, got {shown}"


@pytest.mark.parametrize("option", CHOICES, ids=str)
@pytest.mark.parametrize("place", PLACES)
def test_each_row_meets_its_action(place, option, tmp_path):
    assert list(wrong_rows(place, option, tmp_path)) == []


def test_the_cases_are_counted():
    assert len(table()) == 657
    assert len({row.tag for row in rows()}) == 657 - 4 + sum(map(len, PATTERNS.values()))
    assert sum(len(planted_rows(place)) for place in PLACES) * len(CHOICES) == 58_113
    named = sum(len(row.options) for row in rows())
    assert named == 642


def test_representations_are_those_of_the_dictionary():
    for row in rows():
        if row.tag >> 16 & 1 == 0 and row.tag >> 24 not in (0x50, 0x60):
            try:
                known = dictionary_VR(row.tag)
            except KeyError:
                continue
            assert row.vr in known
