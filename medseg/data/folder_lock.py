"""A folder that one process at a time works on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Whether no other process that asks for the folder has it as long as the block lasts.

    The folder is made if it is not there. A file system without locks goes without: there the answer is yes.

    Args:
        folder: The folder; it gets a file ``.lock``.
        wait: Until the other is done; else the answer is no if there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, is_ours = FileLock(folder / LOCK, timeout=-1 if wait else 0), True
    with contextlib.suppress(NotImplementedError):
        try:
            lock.acquire()
        except Timeout:
            is_ours = False
    try:
        yield is_ours
    finally:
        lock.release()
