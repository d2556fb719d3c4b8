"""Values of DICOM elements as the bytes they are stored in: dummies, shifted dates, mapped UIDs, checks.

Bytes rather than pydicom's value classes: those warn with the value in the message, accept what the standard forbids,
and cost more than the rest of a file's reading.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import warnings

from pydicom.charset import decode_bytes
from pydicom.uid import UID_dictionary

from medseg.core.pseudonyms import ProjectKey

TEXT_VRS = frozenset({"LO", "SH", "ST", "LT", "UC", "UT"})
DATE_VRS = frozenset({"DA", "DT", "TM"})
BULK_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
NUMBER_VRS = frozenset({"AT", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV"})
_DUMMY_TEXT = b"removed"
_DUMMIES = {
    "PN": b"Removed",
    "DA": b"19000101",
    "DT": b"19000101000000",
    "TM": b"000000",
    "AE": b"REMOVED",
    "CS": b"REMOVED",
    "AS": b"000Y",
    "DS": b"0",
    "IS": b"0",
    "UR": b"urn:removed",
}
_SIZES = {"FL": 4, "FD": 8, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8, "AT": 4}
_VALID = {
    "CS": re.compile(rb"[A-Za-z0-9_ .+/()\-]{0,16}(\\[A-Za-z0-9_ .+/()\-]{0,16})*"),
    "DS": re.compile(rb"[0-9eE+\-. ]{0,18}(\\[0-9eE+\-. ]{0,18})*"),
    "IS": re.compile(rb"[0-9+\- .]{0,14}(\\[0-9+\- .]{0,14})*"),
    "AS": re.compile(rb"\d{3}[DWMY]( )?"),
    "UI": re.compile(rb"[0-9.]{0,64}(\\[0-9.]{0,64})*"),
    "DA": re.compile(rb"( *|\d{8}|\d{4}\.\d\d\.\d\d)(\\( *|\d{8}|\d{4}\.\d\d\.\d\d))*"),
    "TM": re.compile(rb"[0-9.: ]{0,16}(\\[0-9.: ]{0,16})*"),
    "DT": re.compile(rb"[0-9.+\- ]{0,26}(\\[0-9.+\- ]{0,26})*"),
}
_DAY = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_DATE_TIME = re.compile(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?)(?:[+-]\d{4})?")
_OLDEST_AGE = 89
_PYDICOM = logging.getLogger("pydicom")
_DELIMITERS = {ord(sign) for sign in "\n\r\t\f\\^="}


def padded(value: bytes, vr: str) -> bytes:
    """The value with an even number of bytes (PS3.5 section 6.2)."""
    return value + (b"\0" if vr in ("UI", "OB", "UN") else b" ") if len(value) % 2 else value


def trimmed(value: bytes) -> bytes:
    """The value without its padding."""
    return value.strip(b" \0")


def dummy(vr: str) -> bytes:
    """A value that says nothing, consistent with the representation; empty for what has none (PS3.15 section E.1.1)."""
    if vr in TEXT_VRS:
        return padded(_DUMMY_TEXT, vr)
    return b"\0" * _SIZES[vr] if vr in _SIZES else padded(_DUMMIES.get(vr, b"\0\0" if vr in BULK_VRS else b""), vr)


def is_valid(value: bytes, vr: str) -> bool:
    """Whether a value has the form of its representation, so that it cannot hold a text in disguise."""
    if vr in TEXT_VRS:
        return all(byte >= 32 or byte in (9, 10, 12, 13, 27) for byte in trimmed(value))
    if vr in _SIZES:
        return len(value) % _SIZES[vr] == 0
    pattern = _VALID.get(vr)
    return pattern is None or pattern.fullmatch(value.rstrip(b" \0")) is not None


def decoded(value: bytes, encodings: tuple[str, ...]) -> str:
    """Text of a value in the file's character sets; what cannot be decoded is replaced."""
    try:
        if len(encodings) == 1:
            return value.decode(encodings[0], errors="replace")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote the value
            level = _PYDICOM.level
            _PYDICOM.setLevel(logging.ERROR)
            try:
                return str(decode_bytes(value, list(encodings), _DELIMITERS))
            finally:
                _PYDICOM.setLevel(level)
    except (UnicodeError, LookupError, ValueError):
        return value.decode("latin-1")


def mapped_uids(value: bytes, key: ProjectKey) -> bytes:
    """The UIDs of a value replaced, but for those that the standard itself defines."""
    parts = trimmed(value).decode("latin-1").split("\\")
    return padded("\\".join(mapped_uid(part.strip(" \0"), key) for part in parts).encode("latin-1"), "UI")


def mapped_uid(uid: str, key: ProjectKey) -> str:
    """A UID in place of ``uid``; empty stays empty, and a UID that the standard defines stays."""
    return uid if not uid or uid in UID_dictionary else key.uid(uid)


def shifted(value: bytes, vr: str, days: int) -> bytes:
    """Dates moved by whole days; what is partial or no date becomes empty, and nothing is ever clipped.

    The time of a DT stays, its offset from UTC goes, which tells a region. TM stays.

    Args:
        value: As stored, with one value or several.
        vr: ``DA``, ``DT`` or ``TM``.
        days: To add.
    """
    parts = trimmed(value).decode("latin-1").split("\\")
    move = {"DA": _shifted_day, "DT": _shifted_time}.get(vr)
    if move is None:
        return value if is_valid(value, vr) else b""
    moved = [move(part.strip(), days) for part in parts]
    return padded("\\".join(moved).encode("ascii"), vr) if any(moved) else b""


def days_in(value: bytes) -> list[str]:
    """The dates in a DA or DT value, as YYYYMMDD."""
    parts = value.decode("latin-1").split("\\")
    return ["".join(found.groups()) for part in parts if (found := _DAY.match(part.strip()))]


def capped_age(value: bytes) -> bytes:
    """An age as stored; 90 years if it is more than 89, because so few are that old."""
    age = trimmed(value)
    return b"090Y" if age[3:] == b"Y" and age[:3].isdigit() and int(age[:3]) > _OLDEST_AGE else value


def _shifted_day(text: str, days: int) -> str:
    match = _DAY.fullmatch(text)
    if not match:
        return ""
    try:
        return f"{dt.date(*map(int, match.groups())) + dt.timedelta(days=days):%Y%m%d}".zfill(8)
    except (ValueError, OverflowError):
        return ""


def _shifted_time(text: str, days: int) -> str:
    match = _DATE_TIME.fullmatch(text)
    day = _shifted_day(match[1], days) if match else ""
    return day + match[2] if match and day else ""
