"""Tables of a BIDS data set (``.tsv``): columns that are known, identifiers replaced, rows in a new order.

The old order may be that of names or of admission.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from pathlib import PurePath

from medseg.core.errors import InputError, ReadError

from .field_forms import NUMBER
from .file_names import PATIENT_ID, safe_label, safe_subject, safe_target
from .removed import Removed
from .sidecar_rules import SidecarRules
from .texts import text

_MISSING = "n/a"
_OLDEST = 89
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)((?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?)Z?")
_SEX = re.compile("[mfo]|male|female|other", re.IGNORECASE)
_HAND = re.compile("[rla]|right|left|ambidextrous", re.IGNORECASE)
_NUMBER = re.compile(NUMBER)
_TAGS = {"participant_id": (PATIENT_ID, "LO"), "age": (0x00101010, "AS"), "acq_time": (0x0008002A, "DT")}

_Clean = Callable[[str], str]


def clean_table(name: str, content: str, rules: SidecarRules) -> tuple[str, tuple[Removed, ...]]:
    """What may stay of a table, and the values of the rest.

    Args:
        name: Of the file, which says which table it is.
        content: Its text.
        rules: What may stay.

    Raises:
        ReadError: If the lines are not of one length, or the first column is not the one that it must be.
    """
    rows = [line.split("\t") for line in content.splitlines() if line.strip()]
    if not rows or any(len(row) != len(rows[0]) for row in rows) or len(set(rows[0])) < len(rows[0]):
        raise ReadError("its lines do not have as many columns as its first line, or two columns have one name")
    columns = _columns(name, rules)
    if rows[0][0] != next(iter(columns)):
        raise ReadError("its first column is not the one that such a table begins with")
    cleaned: list[list[str]] = []
    taken: list[Removed] = []
    for row in rows[1:]:
        cells = dict(zip(rows[0], (value.strip() for value in row), strict=True))
        kept = {column: _cell(value, columns[column]) for column, value in cells.items() if column in columns}
        gone = {column: value for column, value in cells.items() if kept.get(column) != value and value != _MISSING}
        for column, value in gone.items():
            taken += text(value.removeprefix("sub-"), *_TAGS.get(column, (0, "LT")))
        cleaned.append(list(kept.values()))
    lines = [[column for column in rows[0] if column in columns], *sorted(cleaned)]
    return "".join("\t".join(line) + "\n" for line in lines), tuple(taken)


def _columns(name: str, rules: SidecarRules) -> Mapping[str, _Clean]:
    """How each known column of a table is cleaned, its first column first."""
    columns: dict[str, _Clean]
    if name == "participants.tsv":
        columns = {"participant_id": lambda value: _participant(value, rules)}
        if rules.characteristics:
            columns |= {"age": _age, "sex": _form(_SEX), "handedness": _form(_HAND)}
            columns |= {"height": _form(_NUMBER), "weight": _form(_NUMBER)}
            columns |= {"group": lambda value: _words(value, rules)}
        return columns
    if name.endswith("_scans.tsv"):
        columns = {"filename": lambda value: _path(value, rules)}
    else:
        columns = {"session_id": lambda value: _session(value, rules)}
    days = rules.days
    if days is not None:
        columns["acq_time"] = lambda value: _moved(value, days)
    return columns


def _cell(value: str, clean: _Clean) -> str:
    return value if value == _MISSING else clean(value)


def _participant(value: str, rules: SidecarRules) -> str:
    return f"sub-{safe_subject(value.removeprefix('sub-'), rules.key)}"


def _session(value: str, rules: SidecarRules) -> str:
    return f"ses-{safe_label('ses', value.removeprefix('ses-'), rules.key, rules.vocabulary)}"


def _path(value: str, rules: SidecarRules) -> str:
    try:
        return safe_target(PurePath(value), rules.key, rules.vocabulary).as_posix()
    except InputError:
        return _MISSING


def _age(value: str) -> str:
    """Whole years, tenths below 3; 90 for all who are older than 89, because so few are."""
    if not _NUMBER.fullmatch(value):
        return _MISSING
    years = float(value)
    return f"{years:.1f}" if years < 3 else str(int(min(years, _OLDEST + 1)))


def _form(form: re.Pattern[str]) -> _Clean:
    return lambda value: value if form.fullmatch(value) else _MISSING


def _words(value: str, rules: SidecarRules) -> str:
    return value if rules.vocabulary.knows(value) else _MISSING


def _moved(value: str, days: int) -> str:
    """A date and time with the date moved; partial or broken ones are missing."""
    match = _TIME.fullmatch(value)
    if match is None:
        return _MISSING
    try:
        moved = dt.date.fromisoformat(match[1]) + dt.timedelta(days=days)
    except (ValueError, OverflowError):
        return _MISSING
    return f"{moved.isoformat()}{match[2]}"
