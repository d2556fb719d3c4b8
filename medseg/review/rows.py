"""Rows of the tables, and the records that they hold."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy import RowMapping

from medseg.core.errors import InputError, ReadError

from .audit import AuditEntry, canonical
from .records import CaseName, CaseRecord, Decision, Difficulty, Flag, ModelStamp, Origin, Verdict, Version
from .texts import checked_comment, checked_name

Values = dict[str, Any]
_MOST_FLAGS, _MOST_TARGETS = 1000, 10000


@dataclass(frozen=True)
class NewVersion:
    """Outlines that are to be kept as a version; their number and time are given when they are.

    Attributes:
        case: The case.
        parent: The version that was changed; None for the prediction as it came.
        author: Reader or model.
        sha256: Of the labels, which are in the vault already.
        volumes_ml: Of each target; empty for images in pixels.
        changed_ml: Of each target, what was added or removed beside the parent.
        input_sha256: Of the image's voxels and grid.
        model: The model that made them; None for the case's own, or where a reader did.
        structures: The value of each structure, which a label map does not say; empty if nobody knows.
    """

    case: CaseName
    parent: int | None
    author: str
    sha256: str
    volumes_ml: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    changed_ml: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    input_sha256: str = ""
    model: ModelStamp | None = None
    structures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def case_values(record: CaseRecord) -> Values:
    """The row of a case, but for its entry.

    Raises:
        InputError: If a text is too long or holds control characters, or a number is not finite.
    """
    if len(record.flags) > _MOST_FLAGS:
        raise InputError(f"a case has {len(record.flags)} flags; at most {_MOST_FLAGS} are kept")
    flags = [
        (checked_name("a target", one.target, empty=True), checked_name("a flag", one.text)) for one in record.flags
    ]
    return {
        "name": checked_name("a case's name", record.name),
        "origin": record.origin.value,
        "model_name": checked_name("a model's name", record.model.name, empty=True),
        "model_version": checked_name("a model's version", record.model.version, empty=True),
        "model_digest": checked_name("a model's digest", record.model.digest, empty=True),
        "made": None if record.made is None else _finite("the time of a prediction", record.made),
        "flags": canonical(flags),
        "owner": checked_name("an owner", record.owner, empty=True),
    }


def new_version(new: NewVersion, number: int, made: float) -> Version:
    """The version that outlines become."""
    volumes, changed = MappingProxyType(dict(new.volumes_ml)), MappingProxyType(dict(new.changed_ml))
    return Version(new.case, number, new.parent, new.author, made, new.sha256, volumes, changed, new.input_sha256)


def version_values(version: Version) -> Values:
    """The row of a version, but for its entry.

    Raises:
        InputError: As ``case_values``.
    """
    return {
        "case_name": version.case,
        "number": version.number,
        "parent": None if version.parent is None else int(version.parent),
        "author": checked_name("an author", version.author),
        "made": version.made,
        "sha256": checked_name("a digest of labels", version.sha256),
        "volumes_ml": _millilitres(version.volumes_ml),
        "changed_ml": _millilitres(version.changed_ml),
        "input_sha256": checked_name("a digest of an image", version.input_sha256, empty=True),
    }


def decision_values(decision: Decision) -> Values:
    """The row of a decision, but for its entry.

    Raises:
        InputError: As ``case_values``.
    """
    return {
        "case_name": decision.case,
        "version": int(decision.version),
        "reader": checked_name("a reader's name", decision.reader),
        "verdict": decision.verdict.value,
        "made": _finite("the time of a decision", decision.made),
        "difficulty": None if decision.difficulty is None else decision.difficulty.value,
        "comment": checked_comment(decision.comment),
    }


def as_case(row: RowMapping) -> CaseRecord:
    """The case in a row.

    Raises:
        ReadError: If it holds what medseg never wrote.
    """
    with _as_written(row):
        return CaseRecord(
            CaseName(row["name"]),
            Origin(row["origin"]),
            ModelStamp(row["model_name"], row["model_version"], row["model_digest"]),
            row["made"],
            tuple(Flag(target, text) for target, text in json.loads(row["flags"])),
            row["owner"],
        )


def as_version(row: RowMapping) -> Version:
    """The version in a row.

    Raises:
        ReadError: As ``as_case``.
    """
    with _as_written(row):
        return Version(
            CaseName(row["case_name"]),
            row["number"],
            row["parent"],
            row["author"],
            row["made"],
            row["sha256"],
            MappingProxyType(dict(json.loads(row["volumes_ml"]))),
            MappingProxyType(dict(json.loads(row["changed_ml"]))),
            row["input_sha256"],
        )


def as_decision(row: RowMapping) -> Decision:
    """The decision in a row.

    Raises:
        ReadError: As ``as_case``.
    """
    with _as_written(row):
        return Decision(
            CaseName(row["case_name"]),
            row["version"],
            row["reader"],
            Verdict(row["verdict"]),
            row["made"],
            None if row["difficulty"] is None else Difficulty(row["difficulty"]),
            row["comment"],
        )


def as_entry(row: RowMapping) -> AuditEntry:
    """The entry of the audit log in a row, whatever it holds."""
    return AuditEntry(
        row["number"],
        row["made"],
        row["who"],
        row["role"],
        row["act"],
        row["case_name"],
        row["details"],
        row["row_digest"],
        row["previous"],
        row["digest"],
    )


def entry_values(entry: AuditEntry) -> Values:
    """The row of an entry of the audit log."""
    return {
        "number": entry.number,
        "made": entry.made,
        "who": entry.who,
        "role": entry.role,
        "act": entry.act,
        "case_name": entry.case,
        "details": entry.details,
        "row_digest": entry.row,
        "previous": entry.previous,
        "digest": entry.digest,
    }


@contextlib.contextmanager
def _as_written(row: RowMapping) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, RecursionError):
        raise ReadError(
            f"what the review database holds with entry {row['entry']} was not written by medseg; "
            "run `medseg review verify`"
        ) from None


def _millilitres(volumes: Mapping[str, float]) -> str:
    if len(volumes) > _MOST_TARGETS:
        raise InputError(f"a version has {len(volumes)} targets; at most {_MOST_TARGETS} are kept")
    return canonical({checked_name("a target", name): _finite("a volume", ml) for name, ml in volumes.items()})


def _finite(what: str, number: float) -> float:
    if not math.isfinite(number):
        raise InputError(f"{what} is {number}; it must be a finite number")
    return float(number)
