"""What could tell whose an image is, among all that was taken out: the things to look for in what is released.

A search for everything would find something in every study: a name of three letters, a serial number ``12``, the word
``HEAD``. A search for too little finds nothing in a leak. So it is decided here, attribute by attribute:

- names (PN, wherever they stand): in full, in either order, and each part of four letters or more, or of two Chinese,
  Japanese or Korean characters; all groups, in every reading of the bytes;
- numbers of patient, order, report and so on: from four characters; mere digits from six, but for patient and
  accession numbers; also without separators and leading zeros;
- dates, spelled as DICOM, ISO, Exif and people do; times are left out, and dates that the release holds on purpose;
- UIDs, but for those of the standard, and those as short as a version number;
- contacts, institutions, devices: their lines; of institutions also the words;
- free text, file names and header fields of other formats: whole lines from eight characters, and their words from six;
  no other text of the release may hold such words, because it keeps familiar ones only;
- private values: whole lines from six characters. Numbers with a decimal point, and digits under six, are left out.

What is familiar (``familiar.Familiar``) is left out everywhere, and so are codes, times, ages and measurements.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from medseg.config.deid import Option

from .attribute_kinds import Kind, kind_of
from .familiar import Familiar, Words
from .personal_names import spellings_of_name
from .removed import Removed
from .table import read_table
from .values import decoded

LONGEST = 64
"""Characters of a value that are searched for; a copy may be cut off."""
_LONGEST_VALUE = 2**16
_SHORTEST, _SHORTEST_NUMBER, _SHORTEST_LINE, _SHORTEST_UID = 4, 6, 8, 10
_SHORTEST_UID_IN_TEXT = 14  # version numbers are shorter
_SHORT_NUMBERS = frozenset({0x00100020, 0x00101000, 0x00080050})  # patient IDs, accession number
_DATE = re.compile(r"(\d{4})([.\-/]?)(\d\d)\2(\d\d)")
_SPELLINGS = (
    *("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%Y:%m:%d"),
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
)
_FIRST_YEAR, _LAST_YEAR = 1850, 2100
_NO_DATES = frozenset({"19000101", "19700101", "20000101"})
_UID = re.compile(r"(?<![\d.])[0-2](\.\d+){3,}")
_STANDARD_UIDS = "1.2.840.10008."
_NUMBER = re.compile(r"[-+]?\d*\.\d*([eE][-+]?\d+)?|\d{0,5}|\d\d?:\d\d(:\d\d)?|\d{3}[DWMY]")
_SEPARATORS = re.compile(r"[\W_]+")
_VALUES = re.compile(r"[\\\r\n\f\t]+")
_ADDRESS_PARTS = re.compile(r"[\\\r\n\f\t^,;=]+")


@dataclass(frozen=True)
class Identifier:
    """One thing to look for.

    Attributes:
        kind: What it tells.
        tag: Attribute that it was taken from; 0 if it was none of DICOM.
        text: Itself.
    """

    kind: Kind
    tag: int
    text: str = field(repr=False)


@dataclass(frozen=True)
class Identifiers:
    """All that is looked for in one study.

    Attributes:
        found: No two alike but for their case.
        encodings: Python codecs of the character sets that the files declare.
        familiar: Tells which words tell of nobody.
    """

    found: tuple[Identifier, ...]
    encodings: tuple[str, ...]
    familiar: Familiar = field(repr=False)


def identifiers_of(
    removed: Iterable[Removed],
    vocabulary: Words,
    released_dates: Collection[str] = frozenset(),
    options: frozenset[Option] = frozenset(),
) -> Identifiers:
    """What is to be searched for after ``removed`` was taken out of the files of one study.

    Args:
        removed: Of all files of the study; what is equal counts once.
        vocabulary: Words that free text may keep.
        released_dates: Dates, as YYYYMMDD, that the release holds on purpose: moved ones, or all of them.
        options: In force. Attributes that one of them keeps are not searched for: a value that was taken out with a
            sequence may stay elsewhere on purpose.
    """
    familiar = Familiar(vocabulary)
    harvest = _Harvest(familiar, released_dates)
    found: dict[str, Identifier] = {}
    encodings: dict[str, None] = {}
    for one in dict.fromkeys(removed):
        if _is_kept(one, options):
            continue
        encodings.update(dict.fromkeys(one.encodings))
        for kind, text in harvest.of(one):
            short = text[:LONGEST].strip()
            found.setdefault(short.casefold(), Identifier(kind, one.tag, short))
    return Identifiers(tuple(found.values()), tuple(encodings), familiar)


def _is_kept(one: Removed, options: frozenset[Option]) -> bool:
    """Whether an option keeps the attribute elsewhere in the object."""
    rule = read_table().rules.get(one.tag)
    kept_by = {option for option, code in rule.options.items() if code == "K"} if rule else set()
    return bool(kept_by & options) or (one.vr == "UI" and Option.RETAIN_UIDS in options)


class _Harvest:
    """Reads identifiers out of values, each kind in its way."""

    def __init__(self, familiar: Familiar, released_dates: Collection[str]) -> None:
        self._familiar = familiar
        self._unsearched = _NO_DATES.union(released_dates)
        self._readers: dict[Kind, Callable[[Removed, str], Iterator[tuple[Kind, str]]]] = {
            Kind.NAME: self._names,
            Kind.ID: self._numbers,
            Kind.DATE: self._dates,
            Kind.UID: self._uids,
            Kind.CONTACT: self._contacts,
            Kind.PLACE: self._places,
            Kind.DEVICE: self._devices,
            Kind.TEXT: self._lines,
            Kind.PRIVATE: self._private,
            Kind.FILE: self._file_fields,
        }

    def of(self, one: Removed) -> Iterator[tuple[Kind, str]]:
        """Kinds and texts; one may come twice."""
        kind = kind_of(one.tag, one.vr)
        if kind is not None:
            for reading in _readings(one):
                yield from self._readers[kind](one, reading)

    def _names(self, _one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for spelling in spellings_of_name(text, self._familiar):
            yield Kind.NAME, spelling

    def _numbers(self, one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        least = _SHORTEST if one.tag in _SHORT_NUMBERS else _SHORTEST_NUMBER
        for value in self._unfamiliar(_VALUES.split(text), _SHORTEST):
            if value.isdigit() and len(value) < least:
                continue
            yield Kind.ID, value
            compact = _SEPARATORS.sub("", value)
            for other in (compact, compact.lstrip("0")):
                if other != value and len(other) >= _SHORTEST_NUMBER:
                    yield Kind.ID, other
            if "^" in value:
                yield from self._names(one, value)

    def _dates(self, _one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for value in text.split("\\"):
            yield from self._spelled(value.strip())

    def _spelled(self, text: str) -> Iterator[tuple[Kind, str]]:
        day = _day(text)
        if day and f"{day:%Y%m%d}" not in self._unsearched:
            yield from ((Kind.DATE, day.strftime(spelling)) for spelling in _SPELLINGS)
            yield Kind.DATE, f"{day.day}.{day.month}.{day.year}"
            yield Kind.DATE, f"{day.month}/{day.day}/{day.year}"

    def _uids(self, one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for value in (part.strip(" \0") for part in text.split("\\")):
            if not _UID.fullmatch(value):
                yield from self._numbers(one, value)
            yield from ((Kind.UID, uid) for uid in _uids_in(value, _SHORTEST_UID))

    def _contacts(self, _one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for part in self._unfamiliar([*_VALUES.split(text), *_ADDRESS_PARTS.split(text)], _SHORTEST_NUMBER):
            yield Kind.CONTACT, part
            digits = re.sub(r"\D", "", part)
            if len(digits) > _SHORTEST_NUMBER:
                yield Kind.CONTACT, digits

    def _places(self, _one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for line in self._unfamiliar(_VALUES.split(text), _SHORTEST):
            yield Kind.PLACE, line
            words = self._unfamiliar(_SEPARATORS.split(line), _SHORTEST_NUMBER)
            yield from ((Kind.PLACE, word) for word in words if word.isalpha())

    def _devices(self, _one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for value in self._unfamiliar(_VALUES.split(text), _SHORTEST):
            if not _NUMBER.fullmatch(value):
                yield Kind.DEVICE, value

    def _lines(self, _one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for line in self._unfamiliar(_VALUES.split(text), _SHORTEST_LINE):
            if not _NUMBER.fullmatch(line):
                yield Kind.TEXT, line
                yield from self._words(Kind.TEXT, line)

    def _private(self, one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        if not text.replace("\r", "").replace("\n", "").replace("\t", "").isprintable():
            return
        for value in self._unfamiliar(_VALUES.split(text), _SHORTEST_NUMBER):
            if _NUMBER.fullmatch(value):
                continue
            if _is_day(value):
                yield from self._dates(one, value)
                continue
            yield from ((Kind.UID, uid) for uid in _uids_in(value, _SHORTEST_UID_IN_TEXT))
            if not _UID.fullmatch(value):
                yield Kind.PRIVATE, value
            if "^" in value:
                yield from self._names(one, value)

    def _file_fields(self, _one: Removed, text: str) -> Iterator[tuple[Kind, str]]:
        for line in self._unfamiliar(_VALUES.split(text), _SHORTEST_NUMBER):
            if _NUMBER.fullmatch(line):
                continue
            if len(line) >= _SHORTEST_LINE:
                yield Kind.FILE, line
            yield from self._words(Kind.FILE, line)

    def _words(self, kind: Kind, line: str) -> Iterator[tuple[Kind, str]]:
        """Words, UIDs and days within a text."""
        yield from ((Kind.UID, uid) for uid in _uids_in(line, _SHORTEST_UID_IN_TEXT))
        for word in self._unfamiliar(_SEPARATORS.split(_UID.sub(" ", line)), _SHORTEST_NUMBER):
            if _is_day(word):
                yield from self._spelled(word)
            else:
                yield kind, word

    def _unfamiliar(self, texts: Iterable[str], shortest: int) -> Iterator[str]:
        for text in (text.strip(" \0") for text in texts):
            if len(text) >= shortest and not self._familiar.knows(text):
                yield text


def _readings(one: Removed) -> list[str]:
    """The value in the declared character sets, and in those that it may be in instead if it is not ASCII."""
    value = one.value[:_LONGEST_VALUE].strip(b"\0 \t\r\n")
    texts = [decoded(value, one.encodings or ("latin-1",))]
    if not value.isascii():
        texts += [value.decode("utf-8", "replace"), value.decode("latin-1")]
    return list(dict.fromkeys(text for text in texts if text and "\ufffd" not in text))


def _uids_in(text: str, shortest: int) -> Iterator[str]:
    uids = (match[0] for match in _UID.finditer(text))
    return (uid for uid in uids if len(uid) >= shortest and not uid.startswith(_STANDARD_UIDS))


def _is_day(text: str) -> bool:
    """Whether digits are a date, alone or with a time of day."""
    return text.isdigit() and len(text) in (8, 14) and _day(text) is not None


def _day(text: str) -> dt.date | None:
    """The date that a DA, DT or ISO text begins with; None if it is none, or one that stands for no date."""
    match = _DATE.match(text)
    try:
        day = dt.date(*(int(match[group]) for group in (1, 3, 4))) if match else None
    except ValueError:
        return None
    return day if day and _FIRST_YEAR <= day.year <= _LAST_YEAR else None
