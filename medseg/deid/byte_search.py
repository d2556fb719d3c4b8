"""Many byte strings searched at once, in plain bytes and as UTF-16, at the speed of memory.

A word of four bytes is looked up in a table instead of trying pattern by pattern. A pattern of seven bytes or more
holds a whole word that begins at a multiple of four wherever the pattern lies, so every fourth position is enough;
shorter ones are looked up at all positions. What the table lets through is compared in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from mmap import mmap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHORTEST = 4
"""Bytes that a pattern needs."""
SHORTEST_IN_VALUES = 7
"""Bytes that a pattern needs to be looked for in voxels."""
_PAIR = 11
"""A pattern of eleven bytes holds two whole words in a row; with both, hardly anything gets through by chance."""
_CHUNK, _OVERLAP = 2**18, 16
_FOLD, _SPREAD = np.uint32(0x20202020), np.uint32(2654435761)
_FEWEST_BITS, _MOST_BITS, _SPARSE = 16, 24, 64

Bytes = bytes | bytearray | memoryview | mmap
_Words = NDArray[np.uint32]
_Indices = NDArray[np.int64]


class Match(NamedTuple):
    """Where a pattern lies.

    Attributes:
        pattern: Its index.
        start: Of its first byte.
        step: 1, or 2 where a zero byte follows each letter, as in UTF-16.
    """

    pattern: int
    start: int
    step: int


class ByteSearch:
    """Finds patterns of at least four bytes; ASCII letters match in either case."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._patterns = [pattern.lower() for pattern in patterns]
        short, long, pairs = _Entries(), _Entries(), _Entries()
        for number, pattern in enumerate(self._patterns):
            if len(pattern) >= _PAIR:
                pairs.add(pattern, number, range(len(pattern) - _PAIR, len(pattern) - _PAIR + 4), 8)
            elif len(pattern) >= SHORTEST_IN_VALUES:
                pattern_end = len(pattern) - SHORTEST_IN_VALUES
                long.add(pattern, number, range(pattern_end, pattern_end + 4), 4)
            elif len(pattern) >= SHORTEST:
                short.add(pattern, number, range(len(pattern) - 4, len(pattern) - 3), 4)
        self._aligned = _Lookup((_Index(long), _Index(pairs)))
        self._anywhere = _Lookup((_Index(short),))

    def matches(self, data: Bytes, start: int, stop: int, *, is_values: bool = False) -> Iterator[Match]:
        """Matches that touch a span, in no particular order; one may come twice, and some lie outside.

        Args:
            data: The whole file, so that matches may reach over the span's ends.
            start: Of the span.
            stop: Of the span, not included.
            is_values: The span holds numbers, such as voxels, where patterns under seven bytes are left out.
        """
        whole = np.frombuffer(data, np.uint8)
        start, stop = max(0, start), min(stop, len(whole))
        for begin in range(start, stop, _CHUNK):
            chunk = whole[begin : min(stop, begin + _CHUNK) + _OVERLAP]
            yield from self._in_chunk(whole, chunk, _Place(begin, 1), is_values=is_values)
            for parity in (0, 1):
                letters = np.ascontiguousarray(chunk[parity::2])
                yield from self._in_chunk(whole, letters, _Place(begin + parity, 2), is_values=is_values)

    def _in_chunk(
        self, whole: NDArray[np.uint8], chunk: NDArray[np.uint8], place: _Place, *, is_values: bool
    ) -> Iterator[Match]:
        for found in self._aligned.find(_words(chunk, 0)):
            yield from self._checked(whole, place, found)
        for shift in range(0 if is_values else 4):
            for found in self._anywhere.find(_words(chunk, shift)):
                yield from self._checked(whole, place.moved(shift), found)

    def _checked(self, whole: NDArray[np.uint8], place: _Place, found: _Found) -> Iterator[Match]:
        starts = place.begin + place.step * found.starts
        for start, number in zip(starts.tolist(), found.numbers.tolist(), strict=True):
            pattern = self._patterns[number]
            stop = start + place.step * (len(pattern) - 1) + 1
            if start < 0 or stop > len(whole):
                continue
            there = whole[start:stop]
            is_equal = there[:: place.step].tobytes().lower() == pattern
            if is_equal and (place.step == 1 or not there[1::2].any()):
                yield Match(number, start, place.step)


class _Place(NamedTuple):
    """Where a chunk begins in the file, and how far apart its bytes lie there."""

    begin: int
    step: int

    def moved(self, letters: int) -> _Place:
        return _Place(self.begin + self.step * letters, self.step)


class _Found(NamedTuple):
    """Where patterns may begin, in letters of the chunk, and which."""

    starts: _Indices
    numbers: _Indices


class _Entries:
    """Words or pairs of words, the patterns that hold them, and at which offset."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int]] = []
        self.width = 4

    def add(self, pattern: bytes, number: int, offsets: range, width: int) -> None:
        self.width = width
        for offset in offsets:
            folded = bytes(letter | 0x20 for letter in pattern[offset : offset + width])
            self.rows.append((int.from_bytes(folded, "little"), number, offset))


class _Index:
    """The entries sorted by word, so that a word's entries lie in a row."""

    def __init__(self, entries: _Entries) -> None:
        rows = np.array(sorted(entries.rows), np.uint64).reshape(-1, 3)
        self.keys, self._firsts, self._counts = np.unique(rows[:, 0], return_index=True, return_counts=True)
        self._numbers, self._offsets = rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)
        self._is_pairs = entries.width == 8

    def find(self, words: _Words, at: _Indices) -> _Found:
        """The entries of the words at the indices ``at``."""
        if self._is_pairs:
            at = at[at + 1 < len(words)]
            keys = words[at].astype(np.uint64) | words[at + 1].astype(np.uint64) << np.uint64(32)
        else:
            keys = words[at].astype(np.uint64)
        rows = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        is_equal = self.keys[rows] == keys
        at, rows = at[is_equal], rows[is_equal]
        counts = self._counts[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        entries = np.repeat(self._firsts[rows], counts) + within
        return _Found(4 * np.repeat(at, counts) - self._offsets[entries], self._numbers[entries])


class _Lookup:
    """A table that lets few words pass that are in none of the indices."""

    def __init__(self, indices: tuple[_Index, ...]) -> None:
        self._indices = [index for index in indices if len(index.keys)]
        first_words = np.concatenate([index.keys.astype(np.uint32) for index in indices])
        bits = int(np.clip(np.ceil(np.log2(_SPARSE * max(1, len(first_words)))), _FEWEST_BITS, _MOST_BITS))
        self._shift = np.uint32(32 - bits)
        self._table = np.zeros(2**bits, np.bool_)
        self._table[(first_words * _SPREAD) >> self._shift] = True

    def find(self, words: _Words) -> Iterator[_Found]:
        """What each index has for the words."""
        if not self._indices:
            return
        slots = np.empty(len(words), np.intp)
        np.right_shift(words * _SPREAD, self._shift, out=slots, casting="unsafe")
        at = np.flatnonzero(self._table.take(slots))
        if len(at):
            yield from (index.find(words, at) for index in self._indices)


def _words(chunk: NDArray[np.uint8], shift: int) -> _Words:
    """Four bytes each as one number, upper and lower case letters as one."""
    count = max(0, len(chunk) - shift) // 4
    return np.frombuffer(chunk, "<u4", count, shift) | _FOLD if count else np.zeros(0, np.uint32)
