"""The regular files below a folder, and a reason for whatever else lies there; nothing is followed or opened."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import InputError

LINK, DEVICE, EMPTY = "a link, which is not followed", "a device, socket or pipe", "an empty file"
SHUT_FILE, SHUT_FOLDER = "a file that may not be read", "a folder that may not be read"
TOO_DEEP = "a folder more than 32 deep"
UNREAD = frozenset({SHUT_FILE, SHUT_FOLDER, TOO_DEEP})
"""Reasons that mean that something may have been missed."""
_MAX_DEPTH = 32
_MAX_FILES = 1_000_000


@dataclass(frozen=True, eq=False)
class Listing:
    """What lies below a folder.

    Attributes:
        files: Regular files with content that may be read, in a fixed order.
        lost: Regular files that are empty or may not be read; they are among what was passed over.
        passed: How many other things were passed over, by reason.
    """

    files: tuple[Path, ...] = field(repr=False)
    passed: Counter[str]
    lost: tuple[Path, ...] = field(default=(), repr=False)


def list_files(root: Path) -> Listing:
    """The files below ``root``, or ``root`` itself if it is one.

    Raises:
        InputError: If there are more than a million.
    """
    passed: Counter[str] = Counter()
    files: list[Path] = []
    lost: list[Path] = []
    for path in _members(root, passed):
        reason = _against(path)
        if reason is None:
            files.append(path)
        else:
            passed[reason] += 1
        if reason in (EMPTY, SHUT_FILE):
            lost.append(path)
        if len(files) > _MAX_FILES:
            raise InputError(f"more than {_MAX_FILES} files; name a smaller folder")
    return Listing(tuple(files), passed, tuple(lost))


def _members(root: Path, passed: Counter[str]) -> Iterator[Path]:
    """Whatever is no folder."""
    if not root.is_dir():
        yield root
        return
    shut: list[object] = []
    for folder, names, members in os.walk(root, onerror=shut.append):
        _prune(Path(folder), root, names, passed)
        yield from (Path(folder, name) for name in sorted(members))
    if shut:
        passed[SHUT_FOLDER] += len(shut)


def _prune(folder: Path, root: Path, names: list[str], passed: Counter[str]) -> None:
    """Leave in ``names`` the folders to go into, in a fixed order."""
    links = [name for name in names if (folder / name).is_symlink()]
    if links:
        passed[LINK] += len(links)
    names[:] = sorted(set(names) - set(links))
    if names and len(folder.relative_to(root).parts) >= _MAX_DEPTH:
        passed[TOO_DEEP] += len(names)
        names.clear()


def _against(path: Path) -> str | None:
    """Why a file is passed over; None if it is not."""
    try:
        status = path.lstat()
    except OSError:
        return SHUT_FILE
    if stat.S_ISLNK(status.st_mode):
        return LINK
    if not stat.S_ISREG(status.st_mode):
        return DEVICE
    if not os.access(path, os.R_OK):
        return SHUT_FILE
    return EMPTY if status.st_size == 0 else None
