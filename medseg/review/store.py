"""The review store: cases, versions of their outlines, decisions, and the log of who did what.

::

    FOLDER/review.sqlite   the database, unless it is PostgreSQL
    FOLDER/audit.head      the last entry of the log, sealed
    FOLDER/.store.lock     held while one process writes

A change and its entry in the log are one transaction, which is on the disk when the call returns. Any number of threads
and processes may work with one store.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, Select, insert, select, update

from medseg.core.errors import InputError, OutputError
from medseg.core.pseudonyms import ProjectKey

from . import tables
from .audit import AuditEntry, Details, Sealer, row_digest
from .database import Database, open_database
from .ledger import Ledger, Pen
from .makers import is_reader, made_by_model, stamp_of
from .records import Act, CaseName, CaseRecord, Decision, ModelStamp, Reader, Version
from .rows import (
    NewVersion,
    Values,
    as_case,
    as_decision,
    as_entry,
    as_version,
    case_values,
    decision_values,
    new_version,
    version_values,
)
from .verification import Verification, page_after

_WITH_ROWS = (Act.CASE_SEEN, Act.SAVED, Act.DECIDED)
_NO_DETAILS: Details = MappingProxyType({})


class Store:
    """What ``open_store`` gives.

    Where the log is not as it was written, everything can still be read, and nothing is written any more.
    """

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    @property
    def state(self) -> Verification:
        """What was found of the log last: when the store was opened, by ``verify``, or by the last write."""
        return self._ledger.state

    def add_case(self, record: CaseRecord, actor: Reader) -> None:
        """Keep what is known of a case; an entry is written if that is new.

        Raises:
            InputError: If the case belongs to another reader, a text is too long or holds control characters, or the
                log is not as it was written.
            OutputError: If the database cannot be written to.
        """
        self.add_cases([record], actor)

    def add_cases(self, records: Iterable[CaseRecord], actor: Reader) -> None:
        """``add_case`` for many in one transaction, which is much faster; all of them are kept, or none."""
        wanted = [case_values(record) for record in records]
        known = {row["name"]: row for row in self._rows(select(tables.cases))}
        changed = [values for values in wanted if not _is_known(known.get(values["name"]), values)]
        if changed:
            with self._ledger.writing() as pen:
                for values in changed:
                    _keep_case(pen, values, actor)

    def case(self, name: CaseName) -> CaseRecord:
        """What is known of a case.

        Raises:
            InputError: If nothing is.
        """
        with self._database.reading() as connection:
            return _case(connection, name)

    def cases(self) -> list[CaseRecord]:
        """All cases by name."""
        return sorted(map(as_case, self._rows(select(tables.cases))), key=lambda record: record.name)

    def add_version(self, new: NewVersion, actor: Reader) -> Version:
        """Keep outlines as the next version of a case; their labels have to be in the vault already.

        The prediction, which has no parent, is version 0; the same one again is the same version.

        Raises:
            InputError: If the case or the parent is unknown, there is another prediction already, a text is too long or
                holds control characters, or the log is not as it was written.
            OutputError: If the database cannot be written to.
        """
        with self._ledger.writing() as pen:
            case = _case(pen.connection, new.case)
            taken = {one.number: one for one in map(as_version, _fetched(pen.connection, _versions_of(new.case)))}
            if new.parent is None and taken:
                return _same_prediction(new, taken[0])
            if new.parent is not None and new.parent not in taken:
                raise InputError(f"case {new.case} has no version {new.parent} to go on from")
            version = new_version(new, max(taken, default=-1) + 1, time.time())
            details: Details = {
                **_outlines(version, _maker(pen.connection, new, case)),
                "author": version.author,
                "changed_ml": sum(version.changed_ml.values()),
                **({} if version.parent is None else {"parent": version.parent}),
                **({"structures": new.structures} if new.structures else {}),
            }
            pen.row(tables.versions, version_values(version), Act.SAVED, actor, details)
        return version

    def versions(self, case: CaseName | None = None) -> list[Version]:
        """Versions by number, of one case or of each."""
        query = select(tables.versions) if case is None else _versions_of(case)
        return sorted(map(as_version, self._rows(query)), key=lambda version: (version.case, version.number))

    def model_of(self, version: Version) -> ModelStamp:
        """The model that a version goes back to, as it was when it outlined; a later run of another changes nothing."""
        with self._database.reading() as connection:
            return _model_of(connection, version.case, version.number)

    def structures_of(self, version: Version) -> Mapping[str, int]:
        """The value of each structure when a version was kept; empty if that was not kept with it."""
        with self._database.reading() as connection:
            saved = _entries_about(connection, version.case, Act.SAVED)
        facts = next((one.facts for one in saved if one.facts.get("version") == version.number), {})
        found = facts.get("structures")
        return found if isinstance(found, dict) else {}

    def decide(self, decision: Decision, actor: Reader) -> None:
        """Keep a decision.

        Raises:
            InputError: If it is not the actor's own, its version is unknown, the comment is too long or holds control
                characters, or the log is not as it was written.
            OutputError: If the database cannot be written to.
        """
        if decision.reader != actor.name:
            raise InputError("a reader decides in their own name only")
        values = decision_values(decision)
        with self._ledger.writing() as pen:
            _case(pen.connection, decision.case)
            query = _versions_of(decision.case).where(tables.versions.c.number == values["version"])
            rows = _fetched(pen.connection, query)
            if not rows:
                raise InputError(f"case {decision.case} has no version {decision.version} to decide about")
            version = as_version(rows[0])
            details = {
                **_outlines(version, _model_of(pen.connection, version.case, version.number)),
                "verdict": decision.verdict.value,
                **({} if decision.difficulty is None else {"difficulty": decision.difficulty.value}),
            }
            pen.row(tables.decisions, values, Act.DECIDED, actor, details)

    def decisions(self, case: CaseName | None = None) -> list[Decision]:
        """Decisions about one case or all, the oldest first."""
        query = select(tables.decisions).order_by(tables.decisions.c.entry)
        if case is not None:
            query = query.where(tables.decisions.c.case_name == case)
        return [as_decision(row) for row in self._rows(query)]

    def log(self, act: Act, actor: Reader, case: CaseName | None = None, details: Details = _NO_DETAILS) -> None:
        """Write an entry into the log. Neither names nor details may hold an identifier or a path.

        Raises:
            ValueError: If the act is one that the other methods log.
            InputError: If a text is too long or holds control characters, or the log is not as it was written.
            OutputError: If the database cannot be written to.
        """
        if act in _WITH_ROWS:
            raise ValueError(f"{act.name} is logged with what it is about")
        with self._ledger.writing() as pen:
            pen.entry(act, actor, case, details)

    def entries(self) -> Iterator[AuditEntry]:
        """The entries of the log, the oldest first; those that are written meanwhile may be among them."""
        last: int | None = None
        while True:
            with self._database.reading() as connection:
                page = page_after(connection, last)
            if not page:
                return
            yield from page
            last = page[-1].number

    def verify(self) -> Verification:
        """Compare the log with its seals, with the head file and with the tables.

        What it finds: entries that were changed, removed, inserted, reordered or cut off, and cases, versions and
        decisions that were changed, removed or put in behind the log's back. Labels are compared by ``Vault.problem``.

        Raises:
            InputError: If the database is damaged, or of a newer layout.
            OutputError: If it cannot be reached.
        """
        return self._ledger.verify()

    def _rows(self, query: Select[Any]) -> Sequence[RowMapping]:
        with self._database.reading() as connection:
            return _fetched(connection, query)


def open_store(folder: Path, key: ProjectKey, database: str | None = None) -> Store:
    """The store of a review folder, made if there is none.

    The whole log is verified: ``Store.state`` says what was found.

    Args:
        folder: Made with mode 0700 if it is not there.
        key: Seals the log.
        database: URL of a PostgreSQL database; None for SQLite in the folder.

    Raises:
        InputError: If the URL is none of PostgreSQL's, or the database is damaged or of a newer layout.
        OutputError: If the folder cannot be written to, or the server not be reached.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(f"the review folder cannot be made ({error.strerror})") from error
    opened = open_database(folder, database)
    return _opened(opened, Ledger(folder, opened, Sealer.of(key)), to_write=True)


def read_store(folder: Path, key: ProjectKey, database: str | None = None) -> Store:
    """The store of a review folder, to look at while others may be working with it; nothing is made or changed.

    Raises:
        InputError: As ``open_store``; also if there is none.
        OutputError: If the server cannot be reached.
    """
    opened = open_database(folder, database, may_write=False)
    return _opened(opened, Ledger(folder, opened, Sealer.of(key)), to_write=False)


def _opened(database: Database, ledger: Ledger, *, to_write: bool) -> Store:
    try:
        if to_write:
            ledger.prepare()
        else:
            ledger.verify()
    except BaseException:
        database.close()
        raise
    return Store(database, ledger)


def _fetched(connection: Connection, query: Select[Any]) -> Sequence[RowMapping]:
    return connection.execute(query).mappings().all()


def _versions_of(case: CaseName) -> Select[Any]:
    return select(tables.versions).where(tables.versions.c.case_name == case)


def _maker(connection: Connection, new: NewVersion, case: CaseRecord) -> ModelStamp:
    """The model that new outlines go back to."""
    if new.parent is None or not is_reader(new.author):
        return new.model or case.model
    return _model_of(connection, new.case, new.parent)


def _model_of(connection: Connection, case: CaseName, number: int) -> ModelStamp:
    by_number = {one.number: one for one in map(as_version, _fetched(connection, _versions_of(case)))}
    made = made_by_model(by_number.values(), by_number[number])
    return stamp_of(_entries_about(connection, case, Act.SAVED, Act.INFERRED), made)


def _entries_about(connection: Connection, case: CaseName, *acts: Act) -> list[AuditEntry]:
    """The entries of some acts about a case, the oldest first."""
    about = select(tables.audit).where(tables.audit.c.case_name == case).order_by(tables.audit.c.number)
    return [as_entry(row) for row in _fetched(connection, about.where(tables.audit.c.act.in_([*map(str, acts)])))]


def _case(connection: Connection, name: CaseName) -> CaseRecord:
    rows = _fetched(connection, select(tables.cases).where(tables.cases.c.name == name))
    if not rows:
        raise InputError(f"no case {name!r} is known")
    return as_case(rows[0])


def _is_known(row: RowMapping | None, values: Values) -> bool:
    return row is not None and dict(row) == {**values, "entry": row["entry"]}


def _keep_case(pen: Pen, values: Values, actor: Reader) -> None:
    """Put in or change the row of a case, with an entry; nothing if it is there."""
    found = _fetched(pen.connection, select(tables.cases).where(tables.cases.c.name == values["name"]))
    row = found[0] if found else None
    if _is_known(row, values):
        return
    if row is not None and row["owner"] != values["owner"]:
        raise InputError(f"case {values['name']} belongs to another reader")
    stamp = ModelStamp(values["model_name"], values["model_version"], values["model_digest"])
    details = {"origin": values["origin"], **_model(stamp)}
    number = pen.entry(Act.CASE_SEEN, actor, values["name"], details, row_digest(tables.cases.name, values))
    if row is None:
        pen.connection.execute(insert(tables.cases).values(**values, entry=number))
    else:
        changed = update(tables.cases).where(tables.cases.c.name == values["name"])
        pen.connection.execute(changed.values(**values, entry=number))


def _same_prediction(new: NewVersion, prediction: Version) -> Version:
    if new.sha256 != prediction.sha256:
        raise InputError(
            f"case {new.case} has another prediction already, which nothing replaces; save this one as a version that "
            "goes on from it"
        )
    return prediction


def _outlines(version: Version, model: ModelStamp) -> dict[str, str | int | float]:
    """What the log says of outlines that someone acts on."""
    return {"version": version.number, "labels": version.sha256, "image": version.input_sha256, **_model(model)}


def _model(model: ModelStamp) -> dict[str, str]:
    return {"model": model.name, "model_version": model.version, "model_digest": model.digest}
