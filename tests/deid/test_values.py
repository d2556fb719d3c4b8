from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.pseudonyms import ProjectKey
from medseg.deid import values

KEY = ProjectKey(bytes(range(32)))
DAYS = st.dates(min_value=dt.date(1900, 1, 1), max_value=dt.date(2100, 1, 1))


@given(DAYS, DAYS, st.integers(-4000, 4000))
def test_shifting_keeps_intervals(first, second, days):
    moved = [
        dt.date.fromisoformat(values.shifted(f"{day:%Y%m%d}".encode(), "DA", days).decode()) for day in (first, second)
    ]
    assert (moved[1] - moved[0]).days == (second - first).days
    assert (moved[0] - first).days == days


@pytest.mark.parametrize(
    ("stored", "vr", "moved"),
    [
        (b"20200101", "DA", b"20200111"),
        (b"2020.01.01", "DA", b"20200111"),
        (b"20200101\\20200103 ", "DA", b"20200111\\20200113 "),
        (b"20200101\\", "DA", b"20200111\\ "),
        (b"202001", "DA", b""),
        (b"20201301", "DA", b""),
        (b"19990230", "DA", b""),
        (b"Jane Roe", "DA", b""),
        (b"99991231", "DA", b""),
        (b"20200101120000.5+0100", "DT", b"20200111120000.5"),
        (b"20200101", "DT", b"20200111"),
        (b"2020", "DT", b""),
        (b"120000.25", "TM", b"120000.25"),
        (b"noon at Doe", "TM", b""),
        (b"", "DA", b""),
    ],
)
def test_dates_move_or_become_empty(stored, vr, moved):
    assert values.shifted(stored, vr, 10) == moved


def test_a_date_that_leaves_the_calendar_becomes_empty():
    assert values.shifted(b"00010101", "DA", -10) == b""


@pytest.mark.parametrize(
    "vr", ["PN", "LO", "SH", "ST", "LT", "UC", "UT", "DA", "DT", "TM", "AE", "CS", "AS", "DS", "IS", "UR", "US", "OB"]
)
def test_a_dummy_is_not_empty_even_and_valid(vr):
    dummy = values.dummy(vr)
    assert dummy
    assert len(dummy) % 2 == 0
    assert values.is_valid(dummy, vr)


@pytest.mark.parametrize(
    ("value", "vr"),
    [
        (b"Doe, Jane (*1970)", "CS"), (b"A" * 18, "CS"), (b"1.5 Doe", "DS"), (b"12 Doe", "IS"), (b"Jane", "AS"),
        (b"1.2.x", "UI"), (b"../../etc/passwd", "UI"), (b"20200101 Doe", "DA"), (b"Doe 1200", "TM"),
        (b"2020 Doe", "DT"), (b"a\x00b", "LO"), (b"a\x01b", "UT"),
    ],
)  # fmt: skip
def test_a_text_in_disguise_is_not_valid(value, vr):
    assert not values.is_valid(value, vr)


@pytest.mark.parametrize(
    ("value", "vr"),
    [
        (b"ORIGINAL\\PRIMARY\\AXIAL ", "CS"), (b"-1.5e-3\\2", "DS"), (b"12 ", "IS"), (b"033Y", "AS"),
        (b"1.2.3\0", "UI"), (b"20200101", "DA"), (b"", "DA"), (b"120000.123", "TM"),
        (b"20200101120000+0100", "DT"), (b"a\r\nb\x1b$B", "LT"),
        (b"\0\x01", "OW"), (b"", "CS"),
    ],
)  # fmt: skip
def test_ordinary_values_are_valid(value, vr):
    assert values.is_valid(value, vr)


def test_uids_are_mapped_but_for_the_standards():
    mapped = values.mapped_uids(b"1.2.3\\1.2.840.10008.5.1.4.1.1.2\\\0", KEY)
    first, second, third = mapped.rstrip(b"\0").decode().split("\\")
    assert (first, second, third) == (KEY.uid("1.2.3"), "1.2.840.10008.5.1.4.1.1.2", "")
    assert len(mapped) % 2 == 0


@pytest.mark.parametrize(
    ("age", "kept"), [(b"089Y", b"089Y"), (b"090Y", b"090Y"), (b"101Y", b"090Y"), (b"800D", b"800D")]
)
def test_ages_are_capped(age, kept):
    assert values.capped_age(age) == kept


def test_days_are_found_in_dates_and_times():
    assert values.days_in(b"20200101\\2020.02.03") == ["20200101", "20200203"]
    assert values.days_in(b"20200101123000") == ["20200101"]
    assert values.days_in(b"none") == []


def test_text_is_decoded_by_its_character_sets():
    assert values.decoded("Größe".encode(), ("utf8",)) == "Größe"
    assert values.decoded(b"caf\xe9", ("iso8859",)) == "café"
    assert values.decoded(b"\xff", ("no such codec",)) == "ÿ"
    assert values.decoded(b"Yamada=\x1b$B;3ED\x1b(B", ("iso8859", "iso2022_jp")) == "Yamada=山田"
