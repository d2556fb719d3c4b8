"""What is left in text files beside images: JSON by its keys, tables (TSV, CSV) by their columns."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from medseg.core.errors import ReadError
from medseg.io.limits import decoding_unnamed
from medseg.io.streams import opened_regular

from .attribute_kinds import Kind, kind_of
from .audit_trace import Trace
from .bids_names import bids_keys
from .familiar import Familiar, is_made_name
from .sidecars import LARGEST_SIDECAR
from .technical import KEPT_TEXT

_TABLES = {".tsv": "\t", ".csv": ","}
_FREE = frozenset({"words", "characteristics"})
_ABOUT_THE_DATA_SET = frozenset({
    "Acknowledgements", "Authors", "BIDSVersion", "DatasetDOI", "DatasetLinks", "DatasetType", "EthicsApprovals",
    "Funding", "GeneratedBy", "HEDVersion", "HowToAcknowledge", "License", "Name", "ReferencesAndLinks",
    "SourceDatasets", "description", "reference", "licence", "release",
})  # fmt: skip
_DAY = re.compile(r"(?<!\d)(19|20)\d\d([-./]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_PERSONAL = re.compile(
    r"((patient|subject|first|last|family|given|middle|maiden|full|sur)?[ _]?name"
    r"|.*(birth|dob|mrn|address|street|city|zip|post|phone|mail|accession|ssn|insurance|physician|patient).*)",
    re.IGNORECASE,
)
_PLAIN = frozenset({"participant_id", "session_id", "filename", "sample_id"})
_SUBJECT = re.compile(r"(sub|ses|sample)-[A-Za-z0-9+]+|.*/.*")
_NUMBER = re.compile(r"[-+]?\d*\.?\d*([eE][-+]?\d+)?|n/a|nan", re.IGNORECASE)
_OLDEST = 89
_LONGEST_NAME = 40


class TableAudit:
    """Audits JSON files and tables."""

    def __init__(self, familiar: Familiar) -> None:
        self._familiar = familiar

    def traces(self, path: Path) -> list[Trace] | None:
        """What is left in a file; None if it is neither, by its name.

        Raises:
            ReadError: If it is damaged. The file is not named.
        """
        suffix = path.suffix.lower()
        if suffix != ".json" and suffix not in _TABLES:
            return None
        with opened_regular(path) as file, decoding_unnamed():
            data = file.read(LARGEST_SIDECAR + 1)
            if len(data) > LARGEST_SIDECAR:
                raise ReadError(f"takes more than {LARGEST_SIDECAR >> 20} MiB, the largest file beside images")
            text = data.decode("utf-8-sig")
            if suffix == ".json":
                return list(self._entries("", json.loads(text)))
            return list(self._columns(list(csv.reader(io.StringIO(text), delimiter=_TABLES[suffix]))))

    def _entries(self, key: str, value: Any) -> Iterator[Trace]:
        if isinstance(value, dict):
            for inner, entry in value.items():
                yield from self._entries(str(inner), entry)
        elif isinstance(value, list):
            for entry in value:
                yield from self._entries(key, entry)
        elif isinstance(value, str) and not self._is_plain(value):
            trace = self._entry(key, value)
            if trace is not None:
                yield trace

    def _entry(self, key: str, value: str) -> Trace | None:
        tag = tag_for_keyword(key) or 0
        kind = kind_of(tag, dictionary_VR(tag)) if tag and tag not in KEPT_TEXT else None
        if kind is not None:
            return Trace(kind.value, f"JSON {key}", is_note=kind is Kind.UID)
        if _DAY.search(value):
            return Trace(Kind.DATE.value, f"JSON {_shown(key)}")
        if tag or bids_keys().get(key, "words") not in _FREE:
            return None
        return Trace(Kind.TEXT.value, f"JSON {_shown(key)}", is_note=key in _ABOUT_THE_DATA_SET)

    def _columns(self, rows: list[list[str]]) -> Iterator[Trace]:
        for place, column in enumerate(rows[0] if rows else []):
            values = [row[place].strip() for row in rows[1:] if place < len(row)]
            where = f"column {_shown(column)}"
            if any(_DAY.search(value) for value in values):
                yield Trace(Kind.DATE.value, where)
            if column.lower() == "age" and any(_is_over_oldest(value) for value in values):
                yield Trace("age above 89", where)
            if column not in _PLAIN and not all(self._is_plain(value) for value in values):
                is_personal = _PERSONAL.fullmatch(column) is not None
                yield Trace(Kind.TEXT.value, where if is_personal else "columns of tables", is_note=not is_personal)

    def _is_plain(self, value: str) -> bool:
        """Whether a value says nothing about anybody; a date is not plain."""
        if _DAY.search(value):
            return False
        known = _NUMBER.fullmatch(value) or _SUBJECT.fullmatch(value) or is_made_name(value)
        return bool(known) or self._familiar.knows(value)


def _is_over_oldest(value: str) -> bool:
    years = re.match(r"\d{1,9}", value) if _NUMBER.fullmatch(value) else None
    return years is not None and int(years[0]) > _OLDEST + 1


def _shown(name: str) -> str:
    """The name of a key or column, unless it could be a value itself."""
    plain = name.isascii() and name.isprintable() and len(name) <= _LONGEST_NAME and not re.search(r"\d{4}", name)
    return name if plain and name else "without a plain name"
