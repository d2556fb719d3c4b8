"""What is left in a DICOM object that somebody de-identified: a second opinion from the finished object alone.

The object is measured by PS3.15 Table E.1-1 under the options that it claims itself (0012,0064). Whether a pseudonym is
one, and whether a UID or a date is the original, an object does not tell; what is only possible is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medseg.config.deid import Option
from medseg.io.dicom_file import DicomFile

from .attribute_kinds import CODE_MEANING, CODES, Kind, kind_of
from .attribute_names import shown_tag
from .audit_trace import Trace
from .burned_in import doubt
from .code_meanings import standard_meaning
from .element_values import ElementValue, element_values, sequences_in
from .elements import bare
from .familiar import Familiar, is_made_name
from .policy import is_never_kept, is_private
from .removed import Removed
from .table import Rule, read_table
from .technical import CLASS_UIDS, KEPT_BINARY, KEPT_TEXT
from .values import BULK_VRS, DATE_VRS, NUMBER_VRS, TEXT_VRS, decoded, trimmed

_REMOVED, _METHOD, _METHOD_CODES, _BURNED_IN = 0x00120062, 0x00120063, 0x00120064, 0x00280301
_PATIENT_NAME, _PATIENT_ID, _INSTANCE_NUMBER = 0x00100010, 0x00100020, 0x00200013
_SOP_INSTANCE, _META_INSTANCE = 0x00080018, 0x00020003
_META_TEXTS = (0x00020016, 0x00020017, 0x00020018, 0x00020026, 0x00020027, 0x00020028, 0x00020100, 0x00020102)
_CODE_VALUE, _LONG_CODE_VALUE, _SCHEME = 0x00080100, 0x00080119, 0x00080102
_SCHEMES = frozenset({"DCM", "SCT", "SRT", "SNM3", "99SDM", "UCUM", "LN", "FMA", "RADLEX", "NCIt", "UBERON", "MSH"})
_TEXT_VALUE = 0x0040A160
_KEEPING = frozenset(
    {Option.RETAIN_INSTITUTION_IDENTITY, Option.RETAIN_DEVICE_IDENTITY, Option.RETAIN_PATIENT_CHARACTERISTICS}
)
"""Options by which content items keep texts, as their concept names say (PS3.15 Table E.3.4-1)."""
_DATES = frozenset({Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES})
_NO_DAY = re.compile(r"((0001|1[0-8]\d\d|9999)\d{4}.*|(19000101|19700101|20000101|11111111).*)?")
_NO_TIME, _NO_NUMBER, _NO_AGE = re.compile(r"[0:. ]*"), re.compile(r"[-+0. eE]*"), re.compile("(000[DWMY])?")
_FORMS = {"DA": _NO_DAY, "DT": _NO_DAY, "TM": _NO_TIME, "AS": _NO_AGE, "DS": _NO_NUMBER, "IS": _NO_NUMBER}
_MADE_UIDS = ("2.25.", "1.2.840.10008.")
_NOTHING = frozenset({"O", "U"})
_SUSPECTS = frozenset({Kind.NAME, Kind.ID, Kind.CONTACT, Kind.PLACE})
_MARKS = ("(0012,0062)", "(0012,0063)", "(0012,0064)")
_LISTED = "attribute that the profile removes"


@dataclass(frozen=True, eq=False)
class LookedAt:
    """What an audit has seen of one object.

    Attributes:
        traces: What is left.
        suspects: Names, numbers, contacts and institutions that are left, to be looked for in names of files.
        instance: Instance Number (0020,0013), by which a viewer finds the object; maybe empty.
    """

    traces: frozenset[Trace]
    suspects: tuple[Removed, ...] = field(repr=False)
    instance: str


class DicomAudit:
    """Audits objects, one after another."""

    def __init__(self, familiar: Familiar) -> None:
        self._familiar = familiar

    def look_at(self, file: DicomFile) -> LookedAt:
        """What is left in one object."""
        dataset, claims = file.dataset, claimed_options(file.dataset)
        traces = {*_around(file), *_marks(dataset, claims), *_sequences(dataset, claims)}
        suspects = []
        for value in element_values(dataset):
            trace = self._trace(value, claims)
            traces.update([trace] if trace else [])
            if trace and not trace.is_note and kind_of(value.tag, value.vr) in _SUSPECTS:
                suspects.append(Removed(value.tag, value.vr, value.value, _encodings(value)))
        instance = bare(dataset, _INSTANCE_NUMBER)
        return LookedAt(frozenset(traces), tuple(suspects), instance if instance.isdigit() else "")

    def _trace(self, value: ElementValue, claims: frozenset[Option]) -> Trace | None:
        tag = value.tag
        if value.path.startswith(_MARKS) or tag & 0xFFFF == 0 or not trimmed(value.value):
            return None
        if is_private(tag):
            return Trace("private attribute", f"group {tag >> 16:04X}", is_note=Option.RETAIN_SAFE_PRIVATE in claims)
        if is_never_kept(tag):
            return Trace(_overlay_or_listed(tag), _where(value.path, tag))
        rule = read_table().rules.get(tag)
        return self._unlisted(value, claims) if rule is None else self._listed(value, claims, rule)

    def _listed(self, value: ElementValue, claims: frozenset[Option], rule: Rule) -> Trace | None:
        codes = {code for option, code in rule.options.items() if option in claims}
        if "K" in codes or ("C" in codes and value.vr not in TEXT_VRS) or self._says_nothing(value):
            return None
        kind = kind_of(value.tag, value.vr)
        is_pseudonym = kind is Kind.UID or (kind is Kind.ID and "D" in rule.basic) or _is_number_as_name(value)
        return Trace(kind.value if kind else _LISTED, _where(value.path, value.tag), is_note=is_pseudonym)

    def _unlisted(self, value: ElementValue, claims: frozenset[Option]) -> Trace | None:
        if value.tag == CODE_MEANING:
            return self._meaning(value)
        if value.vr in BULK_VRS:
            is_known = value.tag in KEPT_BINARY
            return None if is_known else Trace("binary value", _where(value.path, value.tag), is_note=True)
        if _may_stay(value, claims) or self._says_nothing(value):
            return None
        kind = kind_of(value.tag, value.vr)
        is_note = kind is Kind.UID or (value.tag == _TEXT_VALUE and bool(claims & _KEEPING))
        return Trace(kind.value if kind else _LISTED, _where(value.path, value.tag), is_note=is_note)

    def _meaning(self, value: ElementValue) -> Trace | None:
        item = value.item
        scheme, code = bare(item, _SCHEME), bare(item, _CODE_VALUE) or bare(item, _LONG_CODE_VALUE)
        if self._says_nothing(value) or standard_meaning(scheme, code) == _text(value):
            return None
        return Trace(Kind.TEXT.value, _where(value.path, value.tag), is_note=scheme in _SCHEMES)

    def _says_nothing(self, value: ElementValue) -> bool:
        """Whether a value is empty, a dummy, a pseudonym of medseg, or familiar."""
        if value.vr in NUMBER_VRS or value.vr in BULK_VRS:
            return not any(value.value)
        parts = [part.strip(" \0") for part in _text(value).split("\\")]
        if value.vr in _FORMS:
            return all(_FORMS[value.vr].fullmatch(part) for part in parts)
        if value.vr == "UI":
            return all(not part or part.startswith(_MADE_UIDS) for part in parts)
        return all(part in _NOTHING or is_made_name(part) or self._familiar.knows(part) for part in parts)


def claimed_options(dataset: Dataset) -> frozenset[Option]:
    """Options of PS3.15 that an object says were applied (0012,0064)."""
    if _METHOD_CODES not in dataset:
        return frozenset()
    items = dataset[_METHOD_CODES].value
    codes = {bare(item, _CODE_VALUE) for item in items} if isinstance(items, Items) else set()
    return frozenset(option for option, code in read_table().codes.items() if option and code.value in codes)


def _around(file: DicomFile) -> Iterator[Trace]:
    """What is left outside of the data set."""
    if file.has_preamble_content:
        yield Trace("content in the preamble", "first 128 bytes")
    for tag in _META_TEXTS:
        if bare(file.meta, tag):
            yield Trace("file meta information", shown_tag(tag))
    instance = bare(file.meta, _META_INSTANCE)
    if instance and instance != bare(file.dataset, _SOP_INSTANCE):
        yield Trace("another UID in the file meta information", shown_tag(_META_INSTANCE))


def _marks(dataset: Dataset, claims: frozenset[Option]) -> Iterator[Trace]:
    """What the object says of itself, and what its pixels may show."""
    if bare(dataset, _REMOVED) != "YES":
        yield Trace("not marked as de-identified", shown_tag(_REMOVED))
    if _METHOD_CODES not in dataset and not bare(dataset, _METHOD):
        yield Trace("method of de-identification not told", shown_tag(_METHOD), is_note=True)
    if Option.CLEAN_PIXEL_DATA not in claims and doubt(dataset) is not None:
        yield Trace("pixels may show text", "pixel data", is_note=bare(dataset, _BURNED_IN) == "NO")


def _sequences(dataset: Dataset, claims: frozenset[Option]) -> Iterator[Trace]:
    """Sequences that the Basic Profile takes out, whatever they hold."""
    for path, tag in sequences_in(dataset):
        rule = read_table().rules.get(tag)
        if is_never_kept(tag) or (rule is not None and rule.basic == "X" and not claims & rule.options.keys()):
            yield Trace(_LISTED, _where(path, tag))


def _may_stay(value: ElementValue, claims: frozenset[Option]) -> bool:
    """Whether an attribute outside the table is technical, or of a kind that the claimed options keep."""
    if value.vr in DATE_VRS:
        return bool(claims & _DATES)
    if value.vr == "UI":
        return value.tag in CLASS_UIDS or Option.RETAIN_UIDS in claims
    is_text = value.vr in TEXT_VRS or value.vr in ("PN", "AE", "UR")
    return not is_text or value.tag in KEPT_TEXT or value.tag in CODES


def _is_number_as_name(value: ElementValue) -> bool:
    """Whether the patient's name is the same as the patient's ID, and has a digit in it: a pseudonym, most likely."""
    name = _text(value)
    return value.tag == _PATIENT_NAME and name == bare(value.item, _PATIENT_ID) and any(map(str.isdigit, name))


def _overlay_or_listed(tag: int) -> str:
    return "overlay or curve" if tag >> 16 & 0xFF00 in (0x5000, 0x6000) else _LISTED


def _where(path: str, tag: int) -> str:
    """The tag, and the outermost sequence that it is in."""
    sequence, _, inside = path.partition("[")
    return f"{shown_tag(tag)} in {sequence}" if inside else shown_tag(tag)


def _text(value: ElementValue) -> str:
    return decoded(trimmed(value.value), _encodings(value))


def _encodings(value: ElementValue) -> tuple[str, ...]:
    found = value.item.original_character_set
    return (found,) if isinstance(found, str) else tuple(found or ("latin-1",))
