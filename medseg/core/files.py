"""Writing that leaves the old file or the new one, and paths that stay where they belong."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import InputError, OutputError

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_FLUSHED_AT_ONCE = 8
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of its path is a file",
    errno.EEXIST: "a part of its path is a file",
}


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Temporary path beside ``path`` that takes its place when the block ends well, and vanishes when it does not.

    The temporary name keeps the suffixes of ``path``, so that writers that go by suffix see the right one. Who may read
    the file follows from the umask, as for any other file.

    Raises:
        OutputError: If the disk is full or the folder cannot be written to.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = _beside(path)
        made.touch(exist_ok=False)
        partial = made
        yield partial
        _flush(partial)
        partial.replace(path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Temporary folder beside ``path`` that takes its place, replacing what was there, when the block ends well."""
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = _beside(path)
        made.mkdir()
        partial = made
        yield partial
        if path.exists():
            _swap(partial, path)
        else:
            partial.replace(path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        if partial is not None and partial.exists():
            shutil.rmtree(partial)


def write_staged(path: Path, content: bytes) -> None:
    """Write a file into a folder that takes its place later, once ``flush_folder`` has seen to it.

    Raises:
        OutputError: If the disk is full or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise _output_error(path, error) from error


def flush_folder(folder: Path) -> None:
    """Wait until all files below ``folder`` are on the disk; several at a time, which costs little more than one.

    Raises:
        OutputError: If the disk cannot take them.
    """
    try:
        with ThreadPoolExecutor(_FLUSHED_AT_ONCE) as pool:
            list(pool.map(_flush, [path for path in folder.rglob("*") if path.is_file()]))
    except OSError as error:
        raise _output_error(folder, error) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def confined(root: Path, relative: str | Path) -> Path:
    """``root / relative``, refused if it would lie outside ``root``.

    Raises:
        InputError: If the path is absolute or climbs out, also through a symbolic link.
    """
    inside = (root / relative).resolve()
    if Path(relative).is_absolute() or not inside.is_relative_to(root.resolve()):
        raise InputError(f"path {str(relative)!r} leaves its folder; it must be relative and stay inside")
    return root / relative


def safe_name(text: str) -> str:
    """``text`` as a file name: letters, digits, ``. _ + -``; never empty, hidden or longer than 120 characters."""
    return _UNSAFE.sub("_", text).strip("._")[:120] or "unnamed"


def existing(path: Path) -> Path:
    """``path`` if something is there.

    Raises:
        InputError: If nothing is.
    """
    if not path.exists():
        raise InputError(f"{str(path)!r} does not exist")
    return path


def _swap(new: Path, path: Path) -> None:
    """Put a folder in the place of another, which comes back if that fails."""
    aside = Path(tempfile.mkdtemp(prefix=".old-", dir=path.parent))
    old = aside / path.name
    try:
        path.replace(old)
        new.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        aside.rmdir()
        raise
    shutil.rmtree(aside)


def _beside(path: Path) -> Path:
    """A new name beside ``path``; tempfile's own makes things that only the owner may read, whatever the umask says."""
    return path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _output_error(path: Path, error: OSError) -> OutputError:
    # numpy says how much it wrote, but not why it stopped.
    reason = _REASONS.get(error.errno or 0, error.strerror or "not all of it could be written, the disk may be full")
    return OutputError(f"cannot write {path.name!r}: {reason}; nothing half-written was left behind")
