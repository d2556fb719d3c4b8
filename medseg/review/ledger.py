"""Who may write next, the end of the log that they go on from, and the head file that follows.

A transaction is made while a lock file is held, so the head file never goes back. It is written after the commit: when
the process dies between the two, or the disk is full, the log is one entry longer than it says, and the next writer
brings it up before anything else, once the entries that it does not know are found sound.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Table, insert, select

from medseg.core.errors import InputError, MedsegError, OutputError

from . import tables
from .audit import AuditEntry, Details, Fault, Mark, Sealer, details_text, row_digest
from .database import Database
from .heads import FILE, clear_partial_heads, read_head, write_head
from .records import Act, CaseName, Reader
from .rows import Values, entry_values
from .texts import checked_name
from .verification import Verification, checked_end, last_mark, verified

_LOCK = ".store.lock"
_WAIT_S, _POLL_S = 60.0, 0.005
_LOGGER = logging.getLogger(__name__)


class Pen:
    """Writes within one transaction.

    Attributes:
        connection: Of the transaction.
        last: The last entry of the log.
    """

    def __init__(self, connection: Connection, sealer: Sealer, last: Mark) -> None:
        self.connection = connection
        self.last = last
        self._sealer = sealer

    def entry(self, act: Act, actor: Reader, case: CaseName | None, details: Details, row: str = "") -> int:
        """Write an entry of the log, which vouches for a row of that digest; its number."""
        entry = AuditEntry(
            self.last.number + 1,
            time.time(),
            checked_name("a reader's name", actor.name),
            actor.role.value,
            act.value,
            None if case is None else CaseName(checked_name("a case's name", case)),
            details_text(details),
            row,
            self.last.digest,
        )
        sealed = replace(entry, digest=self._sealer.entry(entry))
        self.connection.execute(insert(tables.audit).values(entry_values(sealed)))
        self.last = Mark(sealed.number, sealed.digest)
        return sealed.number

    def row(self, table: Table, values: Values, act: Act, actor: Reader, details: Details) -> None:
        """Write a row that is about a case, and the entry that vouches for it."""
        number = self.entry(act, actor, values["case_name"], details, row_digest(table.name, values))
        self.connection.execute(insert(table).values(**values, entry=number))


class Ledger:
    """The log of a store, to be written by one at a time.

    Attributes:
        state: What was found of it last; nothing is written any more once something was wrong.
    """

    def __init__(self, folder: Path, database: Database, sealer: Sealer) -> None:
        self.state = Verification(0)
        self._folder, self._database, self._sealer = folder, database, sealer
        self._threads = threading.Lock()
        self._processes = FileLock(folder / _LOCK, timeout=_WAIT_S, poll_interval=_POLL_S)

    def prepare(self) -> None:
        """Make tables and head file where there are none, verify, and bring the head file up to a log that is sound.

        Raises:
            InputError: If the database is damaged, or of a newer layout.
            OutputError: If the folder or the database cannot be written to.
        """
        with self._turn():
            clear_partial_heads(self._folder)
            with self._database.writing() as connection:
                tables.prepare_tables(connection)
                last = last_mark(connection)
            if last.number == 0 and not (self._folder / FILE).exists():
                write_head(self._folder, last, self._sealer)
            if self.verify().ok:
                with self._database.writing() as connection:
                    self._end(connection)

    def verify(self) -> Verification:
        """Compare the log with its seals, with the head file and with the tables.

        Raises:
            InputError: If the database is damaged, or of a newer layout.
            OutputError: If it cannot be reached.
        """
        head = read_head(self._folder, self._sealer)  # before the database, whose log may only have grown since
        with self._database.reading() as connection:
            if not tables.has_tables(connection):
                raise InputError("the database holds no review store; name the one that `medseg app` works with")
            tables.check_tables(connection)
            self.state = verified(connection, head, self._sealer)
        return self.state

    @contextlib.contextmanager
    def writing(self) -> Iterator[Pen]:
        """A transaction at the end of the log; it is on the disk when the block has ended well.

        Raises:
            InputError: If the log is not as it was written.
            OutputError: If the database or the folder cannot be written to, or others keep them busy.
        """
        self._refuse_unsound()
        with self._turn():
            with self._database.writing() as connection:
                end = self._end(connection)
                pen = Pen(connection, self._sealer, end)
                yield pen
            if pen.last != end:
                self._follow(pen.last)

    def _end(self, connection: Connection) -> Mark:
        """The last entry, which the head file names when this returns."""
        connection.execute(select(tables.store.c.form).with_for_update())  # PostgreSQL's others wait here
        head = read_head(self._folder, self._sealer)
        end = Fault(0, head) if isinstance(head, str) else checked_end(connection, head, self._sealer)
        if isinstance(end, Fault):
            self.state = replace(self.state, number=end.number, reason=end.reason)
            raise self._unsound()
        if end != head:
            write_head(self._folder, end, self._sealer)
        return end

    def _follow(self, last: Mark) -> None:
        """Name the entry that was written; it is kept even if that fails, and the next writer makes up for it."""
        try:
            write_head(self._folder, last, self._sealer)
        except MedsegError as error:
            _LOGGER.warning("the audit log is ahead of its head file: %s", error)

    def _refuse_unsound(self) -> None:
        if not self.state.ok:
            raise self._unsound()

    def _unsound(self) -> InputError:
        return InputError(
            f"nothing was kept, since the audit log is not as it was written: {self.state.reason}; see "
            "`medseg review verify`, and put a backup of the database and its folder in their place"
        )

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        with self._threads:
            try:
                self._processes.acquire()
            except Timeout:
                raise OutputError(
                    f"another process has kept the review store busy for {_WAIT_S:.0f} seconds; nothing was kept"
                ) from None
            except OSError as error:
                raise OutputError(f"the review folder cannot be written to ({error.strerror})") from error
            try:
                yield
            finally:
                self._processes.release()
