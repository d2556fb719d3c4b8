"""The dictionary of common structures: what they are called, coded and coloured.

It is the table ``data/structures.csv``, read when the first name is looked up; the sources of codes and colours stand
in its head. A name is taken only if it matches wholly: a wrong code is worse than none.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TypeVar

from .labels import CodedConcept, Colour, Laterality, Region, Structure, palette_colour
from .sides import words_of

_Coded = TypeVar("_Coded", Structure, Region)
CATEGORIES: Mapping[str, CodedConcept | None] = {
    "": None,
    "lesion": CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
    "tissue": CodedConcept("85756007", "SCT", "Tissue"),
    "substance": CodedConcept("91720002", "SCT", "Body Substance"),
    "object": CodedConcept("260787004", "SCT", "Physical object"),
    "spatial": CodedConcept("309825002", "SCT", "Spatial and Relational Concept"),
}
"""Segmented property categories (PS3.16 CID 7150) by the table's word; none is *Anatomical Structure*."""

_SIDES = {"left": Laterality.LEFT, "right": Laterality.RIGHT, "both": Laterality.BOTH, "bilateral": Laterality.BOTH}
_SHORT_SIDES = {"l": Laterality.LEFT, "lt": Laterality.LEFT, "r": Laterality.RIGHT, "rt": Laterality.RIGHT}
_PLURALS = (("ies", "y"), ("es", ""), ("s", ""))
_LEFT_WHITE, _RIGHT_BLACK = 0.4, 0.35
_Key = tuple[str, Laterality | None]


@dataclass(frozen=True)
class Known:
    """A structure of the dictionary.

    Attributes:
        name: The usual name, without a side.
        code: What it is; of either side where ``laterality`` says which.
        category: What kind of thing it is; None for *Anatomical Structure*.
        laterality: Its side, if the name that was asked for says one and the code does not.
        colour: Recommended; those of left, right and either side differ.
    """

    name: str
    code: CodedConcept
    category: CodedConcept | None
    laterality: Laterality | None
    colour: Colour


def known_structure(name: str) -> Known | None:
    """The structure that goes by this name; None if none does, or the name could mean several.

    Case, punctuation and CamelCase do not count; ``left``, ``right``, and ``l``, ``r``, ``lt``, ``rt`` at the end or
    the beginning, may stand anywhere in the name; the last word may be a plural, which means both sides of a pair.
    """
    words, side = _parted(name)
    if (words, side) in _index():
        return _index()[words, side]
    for plural, singular in _PLURALS:
        key = (words.removesuffix(plural) + singular, side)
        if words.endswith(plural) and key in _index():
            one = _index()[key]
            return _index().get((key[0], side or Laterality.BOTH), one)
    return None


def name_key(name: str) -> tuple[str, str]:
    """What all names of one structure share, known or not: its name in plain words, and its side, empty for none."""
    known = known_structure(name)
    words, side = _parted(name)
    if known is not None:
        words, side = known.name, known.laterality
    return words, side.value if side else ""


def described(one: _Coded) -> _Coded:
    """The structure or region with the code, category and side that the dictionary knows; what is given stays."""
    known = known_structure(one.name)
    if known is None:
        return one
    return replace(
        one,
        code=one.code or known.code,
        category=one.category or known.category,
        laterality=one.laterality or known.laterality,
    )


def structures_of(values: Mapping[str, int]) -> tuple[Structure, ...]:
    """Structures from ``{name: value}``, in order, described and with ``colours_of`` their names."""
    colours = colours_of(list(values), [None] * len(values))
    return tuple(
        described(Structure(name, value, colour)) for (name, value), colour in zip(values.items(), colours, strict=True)
    )


def colours_of(names: Sequence[str], given: Sequence[Colour | None]) -> tuple[Colour, ...]:
    """A colour for each name: the given one, else the dictionary's, else the palette's.

    A colour that is given or that an earlier name has is not given out again, so that structures can be told apart.
    """
    taken = {colour for colour in given if colour is not None}
    colours = []
    for index, (name, explicit) in enumerate(zip(names, given, strict=True)):
        known = known_structure(name)
        palette = (palette_colour(number) for number in range(index, index + 2 * len(names) + 1))
        wanted = (*([known.colour] if known else []), *palette)
        colour = explicit or next(one for one in wanted if one not in taken)
        taken.add(colour)
        colours.append(colour)
    return tuple(colours)


@dataclass(frozen=True)
class Entry:
    """A line of the dictionary, for its reference page.

    Attributes:
        known: The structure, of either side.
        synonyms: Other names.
        sided: Whether names with a side are known too.
    """

    known: Known
    synonyms: tuple[str, ...]
    sided: bool


@cache
def entries() -> tuple[Entry, ...]:
    """All lines of the dictionary, in its order."""
    text = resources.files("medseg.core").joinpath("data", "structures.csv").read_text("utf-8")
    return tuple(_entry(row) for row in csv.DictReader(_without_comments(text.splitlines())))


@cache
def _index() -> Mapping[_Key, Known]:
    index: dict[_Key, Known] = {}
    for entry in entries():
        for name in (entry.known.name, *entry.synonyms):
            words, side = _parted(name)
            index[words, side] = entry.known
            for each in Laterality if entry.sided else ():
                index[words, each] = replace(entry.known, laterality=each, colour=_of_side(entry.known.colour, each))
    return index


def _entry(row: Mapping[str, str]) -> Entry:
    red, green, blue = (int(part) for part in row["colour"].split())
    code = CodedConcept(row["code"], row["scheme"], row["meaning"])
    known = Known(row["name"], code, CATEGORIES[row["category"]], None, (red, green, blue))
    return Entry(known, tuple(filter(None, row["synonyms"].split(";"))), row["sided"] == "sided")


def _without_comments(lines: Iterable[str]) -> Iterable[str]:
    return (line for line in lines if not line.startswith("#"))


def _parted(name: str) -> _Key:
    """The words of a name in lower case, numbers without leading zeros, and the side; no side if it names two."""
    words = [word.lstrip("0") or "0" for word in words_of(name)]
    sides = {index: _SIDES[word] for index, word in enumerate(words) if word in _SIDES}
    if not sides:
        ends = {index: words[index] for index in {0, len(words) - 1} if words}
        sides = {index: _SHORT_SIDES[word] for index, word in ends.items() if word in _SHORT_SIDES}
    if len(sides) != 1 or len(words) == 1:
        return " ".join(words), None
    return " ".join(word for index, word in enumerate(words) if index not in sides), next(iter(sides.values()))


def _of_side(colour: Colour, side: Laterality) -> Colour:
    """Lighter on the left, darker on the right."""
    if side is Laterality.BOTH:
        return colour
    end, share = (255, _LEFT_WHITE) if side is Laterality.LEFT else (0, _RIGHT_BLACK)
    red, green, blue = (round(part + share * (end - part)) for part in colour)
    return red, green, blue
