"""One object while it is being received: a file under a hidden name, within bounds, gone if it is not kept."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from medseg.core.errors import OutputError

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


class Quota:
    """Bytes that all objects of a spool may take together; safe among threads."""

    def __init__(self, most: int, used: int) -> None:
        self._most = most
        self._used = used
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self._used

    def take(self, size: int) -> None:
        """Take ``size`` bytes.

        Raises:
            OutputError: If that is more than is left.
        """
        with self._lock:
            if self._used + size > self._most:
                limit = f"{self._most / 2**20:.0f} MiB"
                raise OutputError(f"the spool holds its limit of {limit}; it takes more when studies are done")
            self._used += size

    def give(self, size: int) -> None:
        """Give ``size`` bytes back."""
        with self._lock:
            self._used -= size


class Incoming:
    """An object on its way into the spool; it may be discarded at any time and from any thread.

    Attributes:
        path: Where it is written.
        begun: When it began to come, in seconds since 1970.
    """

    def __init__(self, path: Path, quota: Quota, most_bytes: int) -> None:
        self.path, self.begun = path, time.time()
        self._quota = quota
        self._most = most_bytes
        self._size = 0
        self._lock = threading.Lock()
        self._is_open = True
        with writing():
            self._stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    @property
    def is_open(self) -> bool:
        """Whether it was neither kept nor discarded yet."""
        return self._is_open

    def write(self, data: bytes) -> None:
        """Append ``data``.

        Raises:
            OutputError: If the object becomes too large, the spool or the disk is full, or the object was discarded.
        """
        with self._lock, writing():
            self._check_open()
            if self._size + len(data) > self._most:
                raise OutputError(f"an object is larger than the limit of {self._most / 2**20:.0f} MiB")
            self._quota.take(len(data))
            self._size += len(data)
            self._stream.write(data)

    def finish(self) -> None:
        """Wait until all of it is on the disk; nothing can be written after that.

        Raises:
            OutputError: If the disk cannot take it, or it was discarded.
        """
        with self._lock, writing():
            self._check_open()
            if not self._stream.closed:
                self._stream.flush()
                os.fsync(self._stream.fileno())
                self._stream.close()

    def move_to(self, target: Path) -> None:
        """Take the place of ``target``, atomically.

        Raises:
            OutputError: If it was discarded.
            OSError: If it cannot be moved.
        """
        with self._lock:
            self._check_open()
            replaced = target.stat().st_size if target.exists() else 0
            self.path.replace(target)
            self._is_open = False
            self._quota.give(replaced)

    def discard(self) -> None:
        """Leave nothing of it; does nothing once it was moved or discarded."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            with contextlib.suppress(OSError):  # what was still to be written may not fit
                self._stream.close()
            self.path.unlink(missing_ok=True)
            self._quota.give(self._size)

    def _check_open(self) -> None:
        if not self._is_open:
            raise OutputError("the connection was cut before the object was kept")


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Says in words, and without the path, why the spool cannot be written to.

    Raises:
        OutputError: If the block fails by the file system.
    """
    try:
        yield
    except OSError as error:
        reason = _FULL.get(error.errno or 0, error.strerror or "unknown")
        raise OutputError(f"the spool cannot be written to: {reason}") from None


def flushed_folder(handle: int) -> None:
    """Wait until the names in an open folder are on the disk, and close it."""
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
