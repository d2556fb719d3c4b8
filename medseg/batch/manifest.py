"""The manifest of a batch: one SQLite file that says what became of each study, whatever happens to the machine."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medseg.core.errors import InputError, OutputError

from .records import Measured, OutputFile, Stage, Status, StudyResult, StudyTask

FILE = "manifest.sqlite"
_RESERVE = ".reserve"
_LOCK = ".lock"
_RESERVED_BYTES = 2**20
_FORM = 1
_SCHEMA = """
CREATE TABLE batch (form INTEGER NOT NULL, model TEXT NOT NULL);
CREATE TABLE runs (started REAL NOT NULL, versions TEXT NOT NULL, settings TEXT NOT NULL);
CREATE TABLE studies (
  study TEXT PRIMARY KEY, version TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  attempts INTEGER NOT NULL DEFAULT 0, ended REAL, read_s REAL, predict_s REAL, write_s REAL
) WITHOUT ROWID;
CREATE TABLE results (
  study TEXT NOT NULL REFERENCES studies, place INTEGER NOT NULL, series TEXT NOT NULL, target TEXT NOT NULL,
  volume_ml REAL, components INTEGER NOT NULL, flags TEXT NOT NULL, PRIMARY KEY (study, place)
) WITHOUT ROWID;
CREATE TABLE outputs (
  study TEXT NOT NULL REFERENCES studies, name TEXT NOT NULL, size INTEGER NOT NULL,
  sha256 TEXT NOT NULL, PRIMARY KEY (study, name)
) WITHOUT ROWID;
"""


_EXPECT = (
    "INSERT INTO studies (study, version, status) VALUES (?, ?, 'waiting') ON CONFLICT (study) DO UPDATE "
    "SET version = excluded.version, status = 'waiting' WHERE version <> excluded.version"
)
_WAIT = "UPDATE studies SET status = 'waiting' WHERE study = ?"
_FORGET = (
    ("UPDATE studies SET reason = '', read_s = NULL, predict_s = NULL, write_s = NULL WHERE status = 'waiting'", [()]),
    ("DELETE FROM results WHERE study IN (SELECT study FROM studies WHERE status = 'waiting')", [()]),
    ("DELETE FROM outputs WHERE study IN (SELECT study FROM studies WHERE status = 'waiting')", [()]),
)
_RECORD = (
    "INSERT INTO studies VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT (study) DO UPDATE SET "
    "version = excluded.version, status = excluded.status, reason = excluded.reason, attempts = attempts + 1, "
    "ended = excluded.ended, read_s = excluded.read_s, predict_s = excluded.predict_s, write_s = excluded.write_s"
)
_ROWS = "SELECT study, version, status, reason, attempts, ended, read_s, predict_s, write_s FROM studies ORDER BY study"
Change = tuple[str, Sequence[tuple[Any, ...]]]


@dataclass(frozen=True)
class StudyRow:
    """A study as the manifest has it; ``attempts`` counts how often it was begun and came to an end."""

    result: StudyResult
    attempts: int
    ended: float | None


class Manifest:
    """The manifest in an output folder.

    Every change is one transaction, which is on the disk before the call returns. When the disk is full a reserve of 1
    MiB makes room for the last rows.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self._folder, self._connection = folder, connection

    def begin(self, versions: Mapping[str, str], settings: Mapping[str, object]) -> None:
        """Note that a run begins, with what versions and settings."""
        row = (time.time(), json.dumps(versions, sort_keys=True), json.dumps(settings, sort_keys=True))
        self._apply(("INSERT INTO runs VALUES (?, ?, ?)", [row]))

    def expect(self, tasks: Iterable[StudyTask]) -> None:
        """Note that studies are to be done; one of another version than before waits again."""
        self._apply((_EXPECT, [(task.name, task.version) for task in tasks]), *_FORGET)

    def wait_again(self, studies: Iterable[str]) -> None:
        """Note that studies are to be done once more."""
        self._apply((_WAIT, [(name,) for name in studies]), *_FORGET)

    def record(self, result: StudyResult) -> None:
        """Write down what became of a study, in the place of what was known of it."""
        name, seconds = result.name, [result.seconds.get(stage) for stage in Stage]
        row = (name, result.version, result.status, result.reason, time.time(), *seconds)
        results = [
            (name, place, one.series, one.target, one.volume_ml, one.components, json.dumps(one.flags))
            for place, one in enumerate(result.measured)
        ]
        self._apply(
            (_RECORD, [row]),
            ("DELETE FROM results WHERE study = ?", [(name,)]),
            ("DELETE FROM outputs WHERE study = ?", [(name,)]),
            ("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", results),
            ("INSERT INTO outputs VALUES (?, ?, ?, ?)", [(name, o.name, o.size, o.sha256) for o in result.outputs]),
        )

    def statuses(self) -> dict[str, tuple[str, Status]]:
        """Version and status of each study."""
        rows = self._connection.execute("SELECT study, version, status FROM studies")
        return {study: (version, Status(status)) for study, version, status in rows}

    def counts(self) -> dict[Status, int]:
        """How many studies have each status; statuses that no study has are left out."""
        rows = self._connection.execute("SELECT status, COUNT(*) FROM studies GROUP BY status")
        return {Status(status): number for status, number in rows}

    @property
    def model(self) -> str:
        """What tells the model, and the key that makes the names, from others; as ``open_manifest`` was told."""
        return str(self._connection.execute("SELECT model FROM batch").fetchone()[0])

    def rows(self) -> Iterator[StudyRow]:
        """All studies by name, one at a time."""
        for study, version, status, reason, attempts, ended, *seconds in self._connection.execute(_ROWS):
            measured = self._measured(study)
            series = tuple(dict.fromkeys(one.series for one in measured))
            spent = {stage: value for stage, value in zip(Stage, seconds, strict=True) if value is not None}
            result = StudyResult(study, version, Status(status), reason, series, spent, measured, self.outputs(study))
            yield StudyRow(result, attempts, ended)

    def outputs(self, study: str) -> tuple[OutputFile, ...]:
        """What was written for a study."""
        query = "SELECT name, size, sha256 FROM outputs WHERE study = ? ORDER BY name"
        return tuple(OutputFile(*row) for row in self._connection.execute(query, (study,)))

    def runs(self) -> list[tuple[float, dict[str, str]]]:
        """When each run began, and with what versions."""
        query = "SELECT started, versions FROM runs ORDER BY started"
        return [(started, json.loads(versions)) for started, versions in self._connection.execute(query)]

    def _measured(self, study: str) -> tuple[Measured, ...]:
        query = "SELECT series, target, volume_ml, components, flags FROM results WHERE study = ? ORDER BY place"
        rows = self._connection.execute(query, (study,))
        return tuple(Measured(series, target, ml, n, tuple(json.loads(flags))) for series, target, ml, n, flags in rows)

    def _apply(self, *changes: Change) -> None:
        """Make changes in one transaction; where the disk is full, once more in the room of the reserve."""
        try:
            self._transact(changes)
        except sqlite3.OperationalError as error:
            reserve = self._folder / _RESERVE
            if not (_is_full(error) and reserve.exists()):
                raise _explained(error) from None
            reserve.unlink()
            try:
                self._transact(changes)
            except sqlite3.OperationalError as second:
                raise _explained(second) from None

    def _transact(self, changes: Sequence[Change]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, rows in changes:
                self._connection.executemany(statement, rows)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself may have rolled back when the disk is full
                self._connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def open_manifest(folder: Path, model: str) -> Iterator[Manifest]:
    """The manifest of a model's batch in ``folder``, made if there is none; one process may hold it at a time.

    Args:
        folder: The output folder; made if it is not there.
        model: Tells the model, and the key that makes the names, from others.

    Raises:
        InputError: If it belongs to another model, is none, or another process holds it.
        OutputError: If it cannot be written.
    """
    try:
        with _locked(folder), contextlib.closing(_connected(folder / FILE)) as connection:
            _prepare(connection, model)
            _reserve(folder)
            yield Manifest(folder, connection)
    except sqlite3.DatabaseError as error:
        raise _explained(error) from None


@contextlib.contextmanager
def read_manifest(folder: Path) -> Iterator[Manifest]:
    """The manifest in ``folder``, to look at while a run may be writing it.

    Raises:
        InputError: If there is none.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{str(folder)!r} holds no {FILE}, so no batch has run there")
    try:
        # Read-only, SQLite could not undo what a run that was killed has left unfinished.
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=10)
        with contextlib.closing(connection):
            connection.execute("PRAGMA query_only = ON")
            yield Manifest(folder, connection)
    except sqlite3.DatabaseError as error:
        raise _explained(error) from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder, made if it is not there, is nobody else's as long as the block lasts."""
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            "another run works on this output folder; wait for it to end, or name another folder"
        ) from None
    except OSError as error:
        raise OutputError(f"the output folder cannot be written to ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _prepare(connection: sqlite3.Connection, model: str) -> None:
    """Make the tables, or make sure that they are this model's."""
    if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    connection.execute("INSERT INTO batch SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM batch)", (_FORM, model))
    form, found = connection.execute("SELECT form, model FROM batch").fetchone()
    if form != _FORM:
        raise InputError(f"{FILE} was written by another version of medseg; name another output folder")
    if found != model:
        raise InputError(
            "the output folder holds the results of another model, or names by another key; name another folder"
        )


def _reserve(folder: Path) -> None:
    reserve = folder / _RESERVE
    if not reserve.exists():
        with contextlib.suppress(OSError):  # on a full disk there is none; it is a help and not a need
            reserve.write_bytes(bytes(_RESERVED_BYTES))


def _is_full(error: sqlite3.OperationalError) -> bool:
    """Whether room may help."""
    return any(word in str(error) for word in ("full", "I/O"))


def _explained(error: sqlite3.DatabaseError) -> InputError | OutputError:
    """SQLite's error in a sentence."""
    text = str(error)
    if "not a database" in text or "malformed" in text or "no such table" in text:
        return InputError(f"{FILE} is damaged; name another output folder, or move the file away")
    return OutputError(f"{FILE} cannot be written ({text}); what it holds is safe, start again when that is mended")
