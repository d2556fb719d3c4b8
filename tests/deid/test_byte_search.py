"""Many patterns at once find what one after the other finds."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medseg.deid import byte_search
from medseg.deid.byte_search import SHORTEST_IN_VALUES, ByteSearch, Match

LETTERS = b"aB01.\0"


def naive(patterns: list[bytes], data: bytes, *, is_values: bool = False) -> set[Match]:
    found = set()
    for number, pattern in enumerate(patterns):
        if len(pattern) < (SHORTEST_IN_VALUES if is_values else 4):
            continue
        wide = b"\0".join(re.escape(bytes([letter])) for letter in pattern)
        for step, expression in ((1, re.escape(pattern)), (2, wide)):
            places = re.finditer(b"(?i)(?=" + expression + b")", data, re.DOTALL)
            found |= {Match(number, place.start(), step) for place in places}
    return found


def planted(patterns: list[bytes], parts: list[bytes | int]) -> bytes:
    """Parts, where a number stands for a pattern, even ones as they are and odd ones in UTF-16."""
    pieces = []
    for part in parts:
        if isinstance(part, int):
            pattern = patterns[part // 2 % len(patterns)]
            pieces.append(pattern if part % 2 == 0 else pattern.decode("latin-1").encode("utf-16-le"))
        else:
            pieces.append(part)
    return b"".join(pieces)


texts = st.binary(min_size=4, max_size=20).map(lambda raw: bytes(LETTERS[byte % len(LETTERS)] for byte in raw))


@given(
    patterns=st.lists(texts, min_size=1, max_size=6, unique_by=bytes.lower),
    parts=st.lists(st.integers(0, 11) | st.binary(max_size=9), max_size=12),
    is_values=st.booleans(),
)
@example(patterns=[b"abcdefg"], parts=[b"xyz", 0, b"x", 1], is_values=True)
def test_finds_what_a_slow_search_finds(patterns, parts, is_values):
    data = planted(patterns, parts)
    found = set(ByteSearch(patterns).matches(data, 0, len(data), is_values=is_values))
    assert found == naive(patterns, data, is_values=is_values)


@pytest.mark.parametrize("length", [4, 5, 6, 7, 10, 11, 12, 64])
@pytest.mark.parametrize("step", [1, 2])
def test_no_place_is_missed_at_the_seams_of_chunks(length, step, monkeypatch):
    monkeypatch.setattr(byte_search, "_CHUNK", 64)
    pattern = bytes(range(ord("0"), ord("0") + 26))[:length] if length <= 26 else b"0123456789abcdef" * 4
    wide = pattern if step == 1 else pattern.decode().encode("utf-16-le")
    search = ByteSearch([pattern])
    for place in range(130):
        data = bytes([255]) * place + wide + bytes([255]) * 70
        assert Match(0, place, step) in set(search.matches(data, 0, len(data)))


def test_a_match_may_reach_over_the_ends_of_a_span():
    data = b"xxxxMARGARETHExxxx"
    search = ByteSearch([b"Margarethe"])
    assert list(search.matches(data, 0, 8)) == [Match(0, 4, 1)]
    assert list(search.matches(data, 4, 14, is_values=True)) == [Match(0, 4, 1)]


def test_short_patterns_are_left_out_of_values():
    search = ByteSearch([b"anna", b"annabel"])
    data = b"..ANNABEL.."
    assert {match.pattern for match in search.matches(data, 0, len(data))} == {0, 1}
    assert {match.pattern for match in search.matches(data, 0, len(data), is_values=True)} == {1}


def test_nothing_is_found_without_patterns_or_data():
    assert list(ByteSearch([]).matches(b"some bytes", 0, 10)) == []
    assert list(ByteSearch([b"abc"]).matches(b"abc abc abc", 0, 11)) == []
    assert list(ByteSearch([b"abcd"]).matches(b"", 0, 0)) == []


def test_thousands_of_patterns_are_told_apart():
    patterns = [b"1.2.840.113619.2.%016d" % (number * 7919) for number in range(5000)]
    data = b"\0".join(patterns[number] for number in (17, 4242, 4999))
    assert {match.pattern for match in ByteSearch(patterns).matches(data, 0, len(data))} == {17, 4242, 4999}
