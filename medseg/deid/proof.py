"""The last check before a file leaves the house: nothing that was taken out of its study is in its bytes.

The search knows nothing of what the engine did. It reads the bytes of the finished file, whatever they belong to, and
looks for each identifier in ASCII, UTF-8, the declared character sets and UTF-16, in upper and lower case. It also goes
through the elements one by one, to say where a find lies, and to let pass what is no leak:

- a word of letters counts inside a longer word only from six letters on, and not if the longer word is familiar
  (Philip in Philips); digits never count within longer numbers, nor UIDs within UIDs;
- texts, institutions, devices and private values may equal a code string, a code, a technical text (station
  ``Achieva`` and model ``Achieva``), or an attribute that an option keeps; names only the whole of a maker's or model's
  name; all of them may stand in a text that is familiar as a whole (Mr Gray and gray matter), and in the mark of the
  de-identification itself;
- in JSON, those texts may equal a key, or the value of a technical key;
- up to seven digits may equal a number (IS, DS), an age or a time; fewer than six count only in elements of text;
- in pixels, voxels and other binary values only what has seven bytes and more counts, and only if chance would not
  write it there: some dark pixels may well spell a date.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from medseg.io.dicom_header import PIXEL_TAGS

from .attribute_kinds import CODE_MEANING, CODES, Kind
from .attribute_names import PRIVATE, attribute_name, shown_tag
from .byte_search import SHORTEST, SHORTEST_IN_VALUES, ByteSearch
from .element_values import ElementValue, element_values
from .file_areas import Area, DicomBytes, areas_of, dicom_bytes, free_texts
from .identifiers import Identifier, Identifiers
from .surroundings import Surroundings
from .table import read_table
from .technical import KEPT_TEXT
from .values import BULK_VRS, NUMBER_VRS

PIXELS, BEFORE, BETWEEN, ANYWHERE = "the pixels", "the file meta information", "between the elements", "the file"
_LOOSE = frozenset({Kind.TEXT, Kind.PLACE, Kind.DEVICE, Kind.PRIVATE, Kind.FILE})
_MARKS = ("(0012,0062)", "(0012,0063)", "(0012,0064)")
_TECHNICAL = KEPT_TEXT | CODES | {CODE_MEANING}
_PRODUCTS = (0x00080070, 0x00081090)
_BINARY, _NUMERIC = NUMBER_VRS | (BULK_VRS - {"UN"}), frozenset({"DS", "IS", "TM", "AS"})
_SHORT_NUMBER, _LONG_NUMBER = 6, 8
_GAP = bytes(8)
_PIXELS = frozenset(shown_tag(tag) for tag in PIXEL_TAGS)
_ESCAPES = re.compile(rb"\x1b[\x20-\x2f]+[\x30-\x7e]")


@dataclass(frozen=True)
class Hit:
    """An identifier that is still there; as text, a sentence that does not tell it.

    Attributes:
        kind: What it tells.
        tag: Attribute that it was taken from; 0 if it was none of DICOM.
        place: Where it is still: tags down to the element, or a part of the file.
    """

    kind: Kind
    tag: int
    place: str

    def __str__(self) -> str:
        shown = shown_tag(self.tag)
        source = (
            f"{attribute_name(shown)}{f' {shown}' if shown != PRIVATE else ''}" if self.tag else "the original file"
        )
        return f"{self.kind} from {source} is still in {self.place}"


class Search:
    """Searches any number of files for the identifiers of one study."""

    def __init__(self, identifiers: Identifiers, encodings: Iterable[str] = ()) -> None:
        self._identifiers = identifiers
        codecs = tuple(dict.fromkeys([*identifiers.encodings, *encodings]))
        patterns: dict[bytes, int] = {}
        for number, identifier in enumerate(identifiers.found):
            for pattern in _patterns(identifier.text, codecs):
                patterns.setdefault(pattern, number)
        self._lengths = [len(pattern) for pattern in patterns]
        self._owners = list(patterns.values())
        self._search = ByteSearch(list(patterns))

    def hits(self, data: bytes) -> list[Hit]:
        """What is still in a file, each identifier once.

        Args:
            data: All bytes of a file of any format, or a path.

        Raises:
            ReadError: If it is a DICOM or gzip file and damaged.
        """
        file = dicom_bytes(data)
        places = self._in_other(data) if file is None else self._in_dicom(file)
        found = self._identifiers.found
        return [Hit(found[number].kind, found[number].tag, place) for number, place in sorted(places.items())]

    def _in_other(self, data: bytes) -> dict[int, str]:
        places: dict[int, str] = {}
        for area in areas_of(data):
            for number, _ in self._in_area(area):
                if not _is_short_number(self._identifiers.found[number]):
                    places.setdefault(number, PIXELS if area.is_values else ANYWHERE)
        texts = free_texts(data) if places else None
        if texts is None:
            return places
        free = {number for number, _ in self._in_area(Area(texts, 0, len(texts), is_values=False))}
        return {n: place for n, place in places.items() if n in free or self._identifiers.found[n].kind not in _LOOSE}

    def _in_dicom(self, file: DicomBytes) -> dict[int, str]:
        places, harmless = self._in_elements(file)
        for area in file.areas():
            for number, position in self._in_area(area):
                if area.is_values:
                    places.setdefault(number, PIXELS)
                elif position < file.start:
                    places.setdefault(number, BEFORE)
                elif number not in harmless and not _is_short_number(self._identifiers.found[number]):
                    places.setdefault(number, BETWEEN)
        return places

    def _in_elements(self, file: DicomBytes) -> tuple[dict[int, str], set[int]]:
        """Where identifiers stand in elements, and which stand in some where they are no leak."""
        places: dict[int, str] = {}
        harmless: set[int] = set()
        values = [value for value in element_values(file.dataset) if value.path not in _PIXELS]
        for is_binary in (False, True):
            joined = _Joined([value for value in values if (value.vr in _BINARY) is is_binary])
            for number, there in self._finds(Area(joined.data, 0, len(joined.data), is_values=False)):
                value = joined.at(there.start)
                by_chance = is_binary and (there.letters < SHORTEST_IN_VALUES or there.are_chance())
                if by_chance or self._is_harmless(value, self._identifiers.found[number]):
                    harmless.add(number)
                else:
                    places.setdefault(number, value.path)
        return places, harmless

    def _is_harmless(self, value: ElementValue, identifier: Identifier) -> bool:
        """Whether an element holds what looks like the identifier for another reason."""
        kind, digits = identifier.kind, identifier.text.isdigit()
        if value.vr in _NUMERIC or value.vr in _BINARY:
            return digits and len(identifier.text) < _LONG_NUMBER
        if kind in _LOOSE and (value.vr == "CS" or value.tag in _TECHNICAL or _may_be_kept(value.tag)):
            return True
        if value.tag in _PRODUCTS and value.value.strip(b" \0").decode("latin-1").lower() == identifier.text.lower():
            return kind is Kind.NAME
        is_familiar = value.path.startswith(_MARKS) or self._identifiers.familiar.knows(value.value.decode("latin-1"))
        return is_familiar and (kind in _LOOSE or kind is Kind.NAME)

    def _in_area(self, area: Area) -> Iterator[tuple[int, int]]:
        """Numbers of identifiers, and where they begin."""
        for number, there in self._finds(area):
            if there.start < area.stop and not (area.is_values and there.are_chance()):
                yield number, there.start

    def _finds(self, area: Area) -> Iterator[tuple[int, Surroundings]]:
        """Numbers of identifiers, and where they stand alone."""
        for match in self._search.matches(area.data, area.start, area.stop, is_values=area.is_values):
            number = self._owners[match.pattern]
            stop = match.start + match.step * (self._lengths[match.pattern] - 1) + 1
            there = Surroundings(area.data, match.start, stop, match.step)
            if there.let_stand(self._identifiers.found[number], self._identifiers.familiar):
                yield number, there


class _Joined:
    """Values in a row, with zeros between them."""

    def __init__(self, values: list[ElementValue]) -> None:
        self._values = values
        self.data = _GAP.join(value.value for value in values)
        self._starts = list(accumulate((len(value.value) + len(_GAP) for value in values), initial=0))

    def at(self, position: int) -> ElementValue:
        """The value that holds a byte."""
        return self._values[bisect_right(self._starts, position) - 1]


def _patterns(text: str, codecs: Iterable[str]) -> Iterator[bytes]:
    """The bytes of a text in all encodings and cases that ``ByteSearch`` does not cover by itself."""
    if text.isascii():
        forms, codecs = {text}, ("ascii",)
    else:
        cases = (text, text.lower(), text.upper(), text.title())
        forms = {unicodedata.normalize(form, one) for one in cases for form in ("NFC", "NFD")}
        codecs = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", *codecs)
    for form in sorted(forms):
        for codec in codecs:
            pattern = _encoded(form, codec)
            if len(pattern) >= SHORTEST:
                yield pattern.lower()


def _encoded(text: str, codec: str) -> bytes:
    """The bytes without escape sequences; empty if the codec has no bytes for it."""
    try:
        return _ESCAPES.sub(b"", text.encode(codec))
    except (UnicodeError, LookupError):
        return b""


def _may_be_kept(tag: int) -> bool:
    """Whether there is an option that keeps the attribute; without that option it holds nothing by now."""
    rule = read_table().rules.get(tag)
    return rule is not None and "K" in rule.options.values()


def _is_short_number(identifier: Identifier) -> bool:
    return identifier.text.isdigit() and len(identifier.text) < _SHORT_NUMBER
