"""Whether the audit log, the head file and the tables still say what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select

from . import tables
from .audit import AuditEntry, Chain, Fault, Mark, Sealer, row_digest, same
from .records import Act
from .rows import as_entry

_PAGE = 1000


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        entries: How many entries the log has.
        number: Of the first entry that something is wrong with; 0 if it is none in particular, None if nothing is.
        reason: What it is, a sentence without a full stop; empty if nothing is.
    """

    entries: int
    number: int | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is as it was written."""
        return self.number is None


def page_after(connection: Connection, number: int | None) -> list[AuditEntry]:
    """The next entries of the log by number, at most a thousand; None for the first ones."""
    query = select(tables.audit).order_by(tables.audit.c.number).limit(_PAGE)
    if number is not None:
        query = query.where(tables.audit.c.number > number)
    return [as_entry(row) for row in connection.execute(query).mappings()]


def entries_after(connection: Connection, number: int | None = None) -> Iterator[AuditEntry]:
    """The entries of the log by number, all of them or those after ``number``."""
    while page := page_after(connection, number):
        yield from page
        number = page[-1].number


def beginning(connection: Connection) -> Mark:
    """What the first entry of the log goes on from."""
    genesis = connection.execute(select(tables.store.c.genesis)).scalars().first()
    return Mark(0, str(genesis))


def last_mark(connection: Connection) -> Mark:
    """The last entry of the log, or its beginning if it has none, unchecked."""
    query = select(tables.audit.c.number, tables.audit.c.digest).order_by(tables.audit.c.number.desc()).limit(1)
    row = connection.execute(query).first()
    return beginning(connection) if row is None else Mark(row.number, row.digest)


def count_entries(connection: Connection) -> int:
    """How many entries the log has."""
    return connection.execute(select(func.count()).select_from(tables.audit)).scalar_one()


def checked_end(connection: Connection, head: Mark, sealer: Sealer) -> Mark | Fault:
    """The last entry of a log whose entries after ``head`` are sound and follow upon it; else what is wrong."""
    if head.number == 0:
        named: Mark | None = beginning(connection)
    else:
        row = connection.execute(select(tables.audit.c.digest).where(tables.audit.c.number == head.number)).first()
        named = None if row is None else Mark(head.number, row.digest)
    if named is None or not same(head.digest, named.digest):
        return _unlike_head(head, last_mark(connection).number)
    chain = Chain(head, sealer)
    for entry in entries_after(connection, head.number):
        if fault := chain.follow(entry):
            return fault
    return chain.last


def verified(connection: Connection, head: Mark | str, sealer: Sealer) -> Verification:
    """Follow the whole log, and compare the head file and the tables with it.

    Args:
        connection: A transaction that sees the database as it is at one moment.
        head: What the head file said before that moment; in words, why it says nothing.
        sealer: Of the project key.
    """
    chain = Chain(beginning(connection), sealer)
    rows = _Rows()
    faults: list[Fault] = []
    if isinstance(head, Mark) and head.number == 0 and not same(head.digest, chain.last.digest):
        faults.append(_unlike_head(head, 0))
    for entry in entries_after(connection):
        if fault := chain.follow(entry):
            faults.append(fault)
            break
        if isinstance(head, Mark) and head.number == entry.number and not same(head.digest, entry.digest):
            faults.append(_unlike_head(head, entry.number))
        rows.expect(entry)
    end = faults[-1].number if faults else None
    faults.extend(_head_faults(head, chain.last, is_whole=end is None))  # of faults with one number the first is told
    faults.extend(rows.faults(connection, end))
    found = min(faults, key=lambda fault: fault.number, default=None)
    entries = count_entries(connection)
    return Verification(entries, found.number, found.reason) if found else Verification(entries)


def _unlike_head(head: Mark, last: int) -> Fault:
    if last < head.number:
        return Fault(last + 1, f"entry {last + 1} and what came after it, up to entry {head.number}, were cut off")
    if head.number == 0:
        return Fault(1, "the head file is that of another log")
    return Fault(head.number, f"entry {head.number} is not the one that the head file names")


def _head_faults(head: Mark | str, last: Mark, *, is_whole: bool) -> list[Fault]:
    if isinstance(head, str):
        return [Fault(0, head)] if last.number or is_whole else []
    return [_unlike_head(head, last.number)] if is_whole and last.number < head.number else []


class _Rows:
    """What the log says of the rows of the tables."""

    def __init__(self) -> None:
        self._written: dict[int, tuple[str, str]] = {}
        self._cases: dict[str, tuple[int, str]] = {}

    def expect(self, entry: AuditEntry) -> None:
        """Take note of what an entry says."""
        if entry.act == Act.CASE_SEEN and entry.case is not None:
            self._cases[entry.case] = entry.number, entry.row
        elif entry.row:
            self._written[entry.number] = entry.act, entry.row

    def faults(self, connection: Connection, end: int | None) -> list[Fault]:
        """Rows that are not as the log says, none of entries from ``end`` on, which nothing is known of."""
        found = [
            *self._unlike(connection, tables.versions, "version"),
            *self._unlike(connection, tables.decisions, "decision"),
        ]
        found.extend(
            Fault(number, f"what entry {number} tells of ({act}) was deleted")
            for number, (act, _) in self._written.items()
        )
        found.extend(self._unlike_cases(connection, end))
        return [fault for fault in found if end is None or fault.number < end]

    def _unlike(self, connection: Connection, table: Table, what: str) -> Iterator[Fault]:
        for row in connection.execute(select(table)).mappings():
            values = dict(row)
            number = _number(values.pop("entry"))
            _, digest = self._written.pop(number, ("", ""))
            if not digest:
                yield Fault(number, f"a {what} was put in that no entry of the log tells of (it names entry {number})")
            elif digest != row_digest(table.name, values):
                yield Fault(number, f"the {what} that entry {number} tells of was changed")

    def _unlike_cases(self, connection: Connection, end: int | None) -> Iterator[Fault]:
        for row in connection.execute(select(tables.cases)).mappings():
            values = dict(row)
            number = _number(values.pop("entry"))
            known = self._cases.pop(values["name"], None)
            if end is not None and number >= end:
                continue
            if known is None:
                yield Fault(number, f"a case was put in that no entry of the log tells of (it names entry {number})")
            elif known != (number, row_digest(tables.cases.name, values)):
                yield Fault(known[0], f"the case that entry {known[0]} tells of was changed")
        for number, _ in self._cases.values():
            yield Fault(number, f"the case that entry {number} tells of was deleted")


def _number(entry: object) -> int:
    """The entry that a row names; 0 for what a damaged database gives."""
    return entry if isinstance(entry, int) else 0
