"""The connection to the review database: SQLite in the review folder, or PostgreSQL by URL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from medseg.core.errors import InputError, MedsegError, OutputError

FILE = "review.sqlite"
_WAIT_S = 30
_WRITES = "medseg_writes"


class Database:
    """Transactions, each with a view of its own of the whole database; safe among threads.

    A write that is done is on the disk. Errors are sentences that name no server, path, statement or value.
    """

    def __init__(self, engine: Engine, *, may_write: bool) -> None:
        self._engine = engine
        self._may_write = may_write
        if engine.dialect.name == "sqlite":
            self._reader, self._writer = engine, engine.execution_options(**{_WRITES: True})
        else:
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._writer = engine.execution_options(isolation_level="READ COMMITTED", **{_WRITES: True})

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees the database as it was at its first statement.

        Raises:
            InputError: If it is damaged.
            OutputError: If it cannot be reached.
        """
        with _in_words(), self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is kept if the block ends well, and leaves nothing if it does not.

        Raises:
            InputError: If it is damaged, or was opened for reading.
            OutputError: If it cannot be reached or written to.
        """
        if not self._may_write:
            raise InputError("this review store was opened for reading; nothing was kept")
        with _in_words(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()


def open_database(folder: Path, url: str | None, *, may_write: bool = True) -> Database:
    """The database of the review folder.

    Args:
        folder: Where SQLite's file is, or will be.
        url: Of a PostgreSQL database; None for SQLite.
        may_write: Whether anything may be changed, and the file be made.

    Raises:
        InputError: If the URL is none of PostgreSQL's, psycopg is missing, the server stores no Unicode, or there is
            no file and none may be made.
        OutputError: If the server cannot be reached.
    """
    if url is not None:
        engine = _postgresql(_parsed(url))
    elif may_write or (folder / FILE).is_file():
        engine = _sqlite(folder / FILE, may_write=may_write)
    else:
        raise InputError(f"the folder holds no {FILE}, so nothing was reviewed there; name the folder of `medseg app`")
    return Database(engine, may_write=may_write)


def _sqlite(path: Path, *, may_write: bool) -> Engine:
    """SQLite with one file, so that a plain copy is a backup, and a commit that outlives a loss of power."""
    engine = create_engine(
        URL.create("sqlite", database=str(path.resolve())),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": _WAIT_S, "isolation_level": None},
    )

    def connected(connection: Any, _record: Any) -> None:
        connection.text_factory = lambda data: data.decode(errors="replace")  # damage is to be found, not raised
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = EXTRA")  # FULL does not wait for the folder
        if not may_write:
            connection.execute("PRAGMA query_only = ON")

    def begin(connection: Connection) -> None:
        # A transaction that begins by reading could not go on to write once another process has written.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begin)
    return engine


def _postgresql(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": _WAIT_S // 3, "client_encoding": "utf8"},
        )
    except ImportError:
        raise InputError("PostgreSQL needs psycopg; run `pip install 'medseg[postgres]'`") from None

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT_S}s'")

    event.listen(engine, "begin", begin)
    with _in_words(), engine.begin() as connection:
        is_unicode = connection.execute(text("SHOW server_encoding")).scalar_one() == "UTF8"
    if not is_unicode:
        engine.dispose()
        raise InputError("the PostgreSQL database is not in UTF8; make one by `createdb --encoding=UTF8`")
    return engine


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            "`database` is no URL; write for example postgresql+psycopg://user@host/reviews, or leave it out for SQLite"
        ) from None
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise InputError(
            f"`database` may be a URL of postgresql+psycopg, got {parsed.drivername!r}; leave it out for SQLite"
        )
    return parsed.set(drivername="postgresql+psycopg")


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _explained(error) from None
    except SQLAlchemyError as error:
        raise OutputError(f"the review database does not answer ({type(error).__name__}); try again") from None


def _explained(error: DBAPIError) -> MedsegError:
    """What the driver said, in a sentence of our own: PostgreSQL's quotes values, names and hosts."""
    said, state = str(error.orig), getattr(error.orig, "sqlstate", None)
    if any(words in said for words in ("malformed", "not a database", "no such table", "no such column")):
        return InputError("the review database is damaged; put a backup of the whole review folder in its place")
    if any(words in said for words in ("disk is full", "disk I/O error")) or state == "53100":
        reason = "the disk is full or damaged"
    elif "locked" in said or state == "55P03":
        reason = f"others have kept it busy for {_WAIT_S} seconds"
    elif any(words in said for words in ("readonly", "unable to open")) or state in ("25006", "42501"):
        reason = "no permission to write there"
    else:
        reason = "it cannot be reached, or broke off" if state is None else f"PostgreSQL says {state}"
    return OutputError(f"the review database cannot be used: {reason}; what was confirmed before is safe")
