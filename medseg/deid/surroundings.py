"""Whether a find is the thing itself: what stands before and behind it, and what chance would write there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .attribute_kinds import Kind
from .familiar import Familiar
from .identifiers import Identifier
from .personal_names import is_east_asian

_SHORT_WORD, _LONGEST_WORD = 6, 32
_NEIGHBOURHOOD, _LIKELIEST = 2**12, 1e-12
_DIGITS = frozenset(b"0123456789")


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a match stands between.

    Attributes:
        data: What it was found in.
        start: Its first byte.
        stop: Byte after its last letter.
        step: Bytes from letter to letter.
    """

    data: bytes = field(repr=False)
    start: int
    stop: int
    step: int

    @property
    def letters(self) -> int:
        """Length of the match, without the zeros between its letters."""
        return (self.stop - self.start - 1) // self.step + 1

    def let_stand(self, identifier: Identifier, familiar: Familiar) -> bool:
        """Whether the match is the identifier, rather than a part of a longer number, UID or word."""
        text, before, after = identifier.text, self._letter(-1), self._letter(1)
        if identifier.kind is Kind.UID:
            return not {before, after} & (_DIGITS | {ord(".")})
        if (text[0].isdigit() and self._continues_number(-1)) or (text[-1].isdigit() and self._continues_number(1)):
            return False
        if is_east_asian(text):
            return True
        if len(text) < _SHORT_WORD:
            return not any(_is_letter(one) or (not text.isalpha() and one in _DIGITS) for one in (before, after))
        return not (text.isalpha() and self._is_in_familiar_word(familiar))

    def are_chance(self) -> bool:
        """Whether bytes drawn from the neighbourhood would spell the match oftener than once in a trillion places.

        A byte like the one before costs nothing, because neighbouring pixels often are alike.
        """
        reach = _NEIGHBOURHOOD * self.step
        start = max(self.start % self.step, self.start - reach)
        near = self.data[start : self.stop + reach : self.step].lower()
        counts = np.bincount(np.frombuffer(near, np.uint8), minlength=256)
        spelled = np.frombuffer(self.data[self.start : self.stop : self.step].lower(), np.uint8)
        spelled = spelled[np.append(True, spelled[1:] != spelled[:-1])]
        return bool(np.prod((counts[spelled] + 1) / (len(near) + 256)) > _LIKELIEST)

    def _letter(self, distance: int) -> int:
        """The byte so many letters before or behind the match; 0 beyond the ends."""
        first = self.start if distance < 0 else self.stop - 1
        position = first + distance * self.step
        return self.data[position] if 0 <= position < len(self.data) else 0

    def _continues_number(self, side: int) -> bool:
        near, far = self._letter(side), self._letter(2 * side)
        return near in _DIGITS or (near == ord(".") and far in _DIGITS)

    def _is_in_familiar_word(self, familiar: Familiar) -> bool:
        before, after = self._letters(-1), self._letters(1)
        spelled = self.data[self.start : self.stop : self.step]
        word = bytes([*reversed(before), *spelled, *after]).decode("latin-1")
        return bool(before or after) and familiar.knows(word)

    def _letters(self, side: int) -> list[int]:
        letters: list[int] = []
        while len(letters) < _LONGEST_WORD and _is_letter(letter := self._letter(side * (len(letters) + 1))):
            letters.append(letter)
        return letters


def _is_letter(byte: int) -> bool:
    return chr(byte).isalpha() if byte < 128 else False
