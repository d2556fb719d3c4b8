"""Temporary files of the people who use the app: one folder a session, gone when the session or its process ends.

::

    REVIEW/sessions/session-5f0a…/                 of one session, mode 0700, locked by the process that made it
    REVIEW/sessions/session-5f0a…/room-0c4d…/      what one upload needs

Names are random. A lock goes with its process, so what a killed process left behind is known at the next start, and
what another living process works with is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from medseg.config.review import ReviewLimits
from medseg.core.errors import InputError, OutputError

if TYPE_CHECKING:
    from .upload_run import Upload

MIB = 2**20
CANCELLED = "the upload was cancelled, nothing of it was kept"
CLOSED = "this session has ended and its files are gone; open the page anew"
_FOLDER, _PREFIX, _ROOM, _LOCK = "sessions", "session-", "room-", ".lock"
_PATIENCE_S = 60.0
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


class SessionFiles:
    """The folders of all sessions of this process; safe among threads."""

    def __init__(self, folder: Path, limits: ReviewLimits | None = None) -> None:
        """Remove what processes that are dead left behind.

        Args:
            folder: The review folder, or one that will be it.
            limits: What a session may hold.

        Raises:
            InputError: If others may enter the folder of the sessions.
            OutputError: If it cannot be written to, or another process does not let go of it.
        """
        self._root = folder / _FOLDER
        self._most_bytes = (limits or ReviewLimits()).session_mb * MIB
        self._sessions: list[Session] = []
        self._lock = threading.Lock()
        with told():
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.name == "posix" and self._root.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InputError(
                    "others may enter the folder of uploads, which holds images of patients; `chmod 700` it"
                )
        with self._alone():
            for left in self._root.glob(f"{_PREFIX}*"):
                _remove_if_dead(left)

    def open(self, owner: str) -> Session:
        """A new session of a reader, with an empty folder.

        Args:
            owner: Name of the reader.

        Raises:
            OutputError: If the folder cannot be made.
        """
        folder = self._root / f"{_PREFIX}{secrets.token_hex(16)}"
        with self._alone(), told():
            folder.mkdir(mode=0o700)
            lock = FileLock(folder / _LOCK, thread_local=False)
            lock.acquire(timeout=0)
        session = Session(owner, folder, self._most_bytes, lock)
        with self._lock:
            self._sessions.append(session)
        return session

    def sessions(self) -> tuple[Session, ...]:
        """Those that are open, oldest first."""
        with self._lock:
            self._sessions = [session for session in self._sessions if session.is_open]
            return tuple(self._sessions)

    def close(self) -> None:
        """End all sessions; their folders are gone, those of running uploads as soon as these notice."""
        for session in self.sessions():
            session.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from making and removing folders, so that none is seen between its making and its locking."""
        lock = FileLock(self._root / _LOCK)
        with told():
            try:
                lock.acquire(timeout=_PATIENCE_S)
            except Timeout:
                raise OutputError("another process does not let go of the folder of uploads; end it") from None
        try:
            yield
        finally:
            lock.release()


class Session:
    """One person's files while a page is open; made by ``SessionFiles.open``, safe among threads.

    Attributes:
        owner: Name of the reader.
        uploads: What was uploaded and prepared.
    """

    def __init__(self, owner: str, folder: Path, most_bytes: int, lock: FileLock) -> None:
        self.owner = owner
        self.uploads: list[Upload] = []
        self._folder, self._most_bytes, self._file_lock = folder, most_bytes, lock
        self._used = 0
        self._closed = threading.Event()
        self._works: set[Work] = set()
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether its folder may be used."""
        return not self._closed.is_set()

    @property
    def used(self) -> int:
        """Bytes of its files."""
        return self._used

    def take(self, size: int) -> None:
        """Count ``size`` bytes more.

        Raises:
            InputError: If the session would hold more than it may.
        """
        with self._lock:
            if self._used + size > self._most_bytes:
                limit = self._most_bytes // MIB
                raise InputError(f"temporary files of this session reach the limit of {limit} MB; upload less at once")
            self._used += size

    def give(self, size: int) -> None:
        """Count ``size`` bytes less."""
        with self._lock:
            self._used -= size

    def new_room(self) -> Room:
        """An empty folder in this session's.

        Raises:
            InputError: If the session is closed.
            OutputError: If it cannot be made.
        """
        if self._closed.is_set():
            raise InputError(CLOSED)
        path = self._folder / f"{_ROOM}{secrets.token_hex(8)}"
        with told():
            path.mkdir(mode=0o700)
        return Room(self, path)

    @contextlib.contextmanager
    def working(self) -> Iterator[Work]:
        """A piece of work on the session's files, which ``cancel`` and ``close`` end.

        Raises:
            InputError: If the session is closed or the work was cancelled: whatever else it failed by.
        """
        work = Work()
        with self._lock:
            if self._closed.is_set():
                raise InputError(CLOSED)
            self._works.add(work)
        try:
            yield work
            work.check()
        except Exception:
            work.check()  # files that vanish make work fail in many ways; this is why
            raise
        finally:
            with self._lock:
                self._works.discard(work)
                is_last = self._closed.is_set() and not self._works
            if is_last:
                self._remove()

    def cancel(self) -> None:
        """End what is being worked on; its files are removed as soon as it notices."""
        with self._lock:
            for work in self._works:
                work.stop(CANCELLED)

    def close(self) -> None:
        """End the session and remove its folder."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            for work in self._works:
                work.stop(CLOSED)
            is_idle = not self._works
        self.uploads.clear()
        if is_idle:
            self._remove()
        else:
            shutil.rmtree(self._folder, ignore_errors=True)  # what is still being written goes with the last work

    def _remove(self) -> None:
        self._file_lock.release()  # some systems do not remove open files
        shutil.rmtree(self._folder, ignore_errors=True)


class Work:
    """Something that may be stopped from another thread."""

    def __init__(self) -> None:
        self._why = ""

    def stop(self, why: str) -> None:
        """Let ``check`` fail from now on; the first reason counts."""
        self._why = self._why or why

    def check(self) -> None:
        """Do nothing unless the work is to end.

        Raises:
            InputError: If it is, with the reason.
        """
        if self._why:
            raise InputError(self._why) from None


class Room:
    """A folder within a session's whose bytes count, kept until ``remove``.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, session: Session, path: Path) -> None:
        self.path = path
        self._session = session
        self._size = 0

    def take(self, size: int) -> None:
        """Count bytes that are going to be written.

        Raises:
            InputError: If the session would hold more than it may.
        """
        self._session.take(size)
        self._size += size

    def settle(self) -> None:
        """Count what there is, instead of what was said there would be.

        Raises:
            InputError: If the session holds more than it may.
        """
        change = size_of(self.path) - self._size
        if change > 0:
            self.take(change)
        else:
            self._session.give(-change)
            self._size += change

    def remove(self) -> None:
        """Remove it with all that it holds."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._session.give(self._size)
        self._size = 0

    @contextlib.contextmanager
    def or_nothing(self) -> Iterator[None]:
        """Remove it if the block fails."""
        try:
            yield
        except BaseException:
            self.remove()
            raise


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; those that vanish meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - called often
    return total


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Says in words, and without a path, why a session's folder cannot be written to.

    Raises:
        OutputError: If the block fails by the file system.
    """
    try:
        yield
    except OSError as error:
        reason = _FULL.get(error.errno or 0, (error.strerror or "unknown").lower())
        raise OutputError(f"the folder of uploads cannot be written to: {reason}") from None
    except NotImplementedError:
        raise OutputError("the folder of uploads lies on a file system without locks; name another folder") from None


def _remove_if_dead(folder: Path) -> None:
    """Remove the folder of a session unless the process that made it lives."""
    if folder.is_symlink() or not folder.is_dir():
        return
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)
