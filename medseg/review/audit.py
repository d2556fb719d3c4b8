"""The audit log: entries that each carry a seal over themselves and over the one before.

The seal is HMAC-SHA256 under a key made from the project key, over the entry as JSON. Who changes, removes, inserts or
reorders entries breaks it, and cannot mend it without the key. That the end is not cut off, the head file tells
(``heads.py``). An entry that goes with a row of another table holds that row's digest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey

from .records import CaseName
from .texts import checked_name

Detail = str | int | float | Mapping[str, int]
"""A text, a number, or numbers by name."""
Details = Mapping[str, Detail]
_MOST_DETAILS, _MOST_NAMES = 64, 1000


@dataclass(frozen=True)
class AuditEntry:
    """An entry of the audit log.

    Attributes:
        number: 1, 2, …
        made: Seconds since 1970.
        who: Name of the reader.
        role: Their role then.
        act: What they did, one of ``Act``.
        case: The case, if it was about one.
        details: More about it, a JSON object.
        row: Digest of the row that was written with it; empty if there was none.
        previous: Seal of the entry before; of the first one, a random number of the database.
        digest: Seal.
    """

    number: int
    made: float
    who: str
    role: str
    act: str
    case: CaseName | None
    details: str
    row: str
    previous: str
    digest: str = ""

    @property
    def facts(self) -> dict[str, Detail]:
        """The details; none where they are not what medseg wrote."""
        try:
            found = json.loads(self.details)
        except (ValueError, TypeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Mark:
    """A place in the log: the number of an entry, and its seal. Number 0 is the beginning."""

    number: int
    digest: str


@dataclass(frozen=True)
class Fault:
    """What is not as it was written.

    Attributes:
        number: Of the first entry that is concerned; 0 if it is none in particular.
        reason: What it is, a sentence without a full stop.
    """

    number: int
    reason: str


@dataclass(frozen=True)
class Sealer:
    """Makes seals; nobody without the project key can."""

    _entries: bytes = field(repr=False)
    _heads: bytes = field(repr=False)

    @classmethod
    def of(cls, key: ProjectKey) -> Sealer:
        """The sealer under a key."""
        entries, heads = (hmac.digest(key.secret, b"medseg review " + part, "sha256") for part in (b"entry", b"head"))
        return cls(entries, heads)

    def entry(self, entry: AuditEntry) -> str:
        """The seal of an entry, 64 hexadecimal digits."""
        parts = [entry.number, entry.made, entry.who, entry.role, entry.act, entry.case]
        return self._seal(self._entries, canonical([*parts, entry.details, entry.row, entry.previous]))

    def head(self, mark: Mark) -> str:
        """The seal of a head file."""
        return self._seal(self._heads, canonical([mark.number, mark.digest]))

    @staticmethod
    def _seal(secret: bytes, text: str) -> str:
        return hmac.digest(secret, text.encode("ascii"), "sha256").hex()


class Chain:
    """Follows a log entry by entry.

    Attributes:
        last: The last entry that was found to be as it was written.
    """

    def __init__(self, start: Mark, sealer: Sealer) -> None:
        self.last = start
        self._sealer = sealer

    def follow(self, entry: AuditEntry) -> Fault | None:
        """What is wrong with the next entry; None if nothing is."""
        expected = self.last.number + 1
        if entry.number > expected:
            return Fault(expected, f"entry {expected} was removed")
        if entry.number < expected:
            return Fault(entry.number, f"entry {entry.number} was put in")
        if entry.previous != self.last.digest or not same(self._sealer.entry(entry), entry.digest):
            return Fault(expected, f"entry {expected} was changed, moved or put in, or another project key wrote it")
        self.last = Mark(entry.number, entry.digest)
        return None


def canonical(content: object) -> str:
    """``content`` as JSON that is the same wherever it is written: keys in order, ASCII, no spaces.

    What is not JSON, as only a damaged database gives it, is told by its ``repr``.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=repr)


def same(one: str, other: object) -> bool:
    """Whether two seals are the same, in a time that does not tell where they differ."""
    return isinstance(other, str) and hmac.compare_digest(one.encode(), other.encode(errors="replace"))


def row_digest(table: str, row: Mapping[str, object]) -> str:
    """SHA-256 of a row and the name of its table."""
    return hashlib.sha256(canonical([table, dict(row)]).encode("ascii")).hexdigest()


def details_text(details: Details) -> str:
    """Details as they are kept.

    Raises:
        InputError: If there are too many, or one is long, holds control characters or is no finite number.
    """
    if len(details) > _MOST_DETAILS:
        raise InputError(f"an entry of the audit log has {len(details)} details; at most {_MOST_DETAILS} are kept")
    return canonical({checked_name("a detail's name", name): _detail(name, value) for name, value in details.items()})


def _detail(name: str, value: Detail) -> Detail:
    if isinstance(value, Mapping):
        if len(value) > _MOST_NAMES:
            raise InputError(f"the detail {name!r} has {len(value)} names; at most {_MOST_NAMES} are kept")
        return {checked_name(f"a name of the detail {name!r}", one): int(number) for one, number in value.items()}
    if isinstance(value, str):
        return checked_name(f"the detail {name!r}", value, empty=True)
    if not math.isfinite(value):
        raise InputError(f"the detail {name!r} is {value}; it must be a finite number")
    return value if isinstance(value, int) else float(value)
