"""Converted networks on disk, so that a machine converts each but once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from medseg.core.errors import OutputError
from medseg.core.files import atomic_folder
from medseg.data.folder_lock import locked

MOST_BYTES = 4 * 2**30
"""What all converted networks may take on disk; those that were used longest ago go first."""
_DIGESTS = "digests.json"
_LEFT_BEHIND_S = 24 * 3600
_LOG = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Conversion(Generic[T]):
    """How a converted network comes about.

    Attributes:
        key: Changes with everything that it depends on; a file name.
        make: Converts.
        save: Writes it into a folder.
        load: Reads it from there.
    """

    key: str
    make: Callable[[], T]
    save: Callable[[T, Path], None]
    load: Callable[[Path], T]


def cache_folder() -> Path | None:
    """Where converted networks lie; None for a user without a home."""
    try:
        return Path.home() / ".cache" / "medseg" / "networks"
    except RuntimeError:
        return None


def is_kept(key: str) -> bool:
    """Whether that network was converted before."""
    folder = cache_folder()
    return folder is not None and (folder / key).is_dir()


def recalled(conversion: Conversion[T]) -> T:
    """The converted network from the disk; converted and kept there if it is not, or is damaged.

    Processes that want the same one wait for the first. Where nothing can be written, it is converted each time.
    """
    folder = cache_folder()
    if folder is None or not _can_write(folder):
        return conversion.make()
    entry = folder / conversion.key
    for kept in _loaded(entry, conversion):
        return kept
    with locked(folder):
        for kept in _loaded(entry, conversion):  # another process was quicker
            return kept
        made = conversion.make()
        _keep(entry, made, conversion)
        return made


def _loaded(entry: Path, conversion: Conversion[T]) -> Iterator[T]:
    """The network in a folder, if it is there and whole; what is damaged is removed."""
    if not entry.is_dir():
        return
    try:
        digests = json.loads((entry / _DIGESTS).read_bytes())
        if digests != _digests(entry):
            raise ValueError("a file is not as it was written")  # noqa: TRY301 - one way out for all damage
        network = conversion.load(entry)
        os.utime(entry)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a copy, another one is made
        _LOG.info("a converted network was damaged (%s) and is made anew", type(error).__name__)
        shutil.rmtree(entry, ignore_errors=True)
        return
    yield network


def _keep(entry: Path, network: T, conversion: Conversion[T]) -> None:
    try:
        with atomic_folder(entry) as partial:
            conversion.save(network, partial)
            (partial / _DIGESTS).write_text(json.dumps(_digests(partial)), encoding="utf-8")
        _make_room(entry)
    except (OutputError, OSError, RuntimeError):  # the last is how runtimes say that they cannot write
        _LOG.info("a converted network could not be kept on disk; the next run converts it again")


def _digests(entry: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(entry.iterdir()):
        if path.name != _DIGESTS:
            with path.open("rb") as stream:
                digests[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


def _make_room(newest: Path) -> None:
    """Remove what was used longest ago, until all fits; and what a killed process left half-written."""
    folders = [path for path in newest.parent.iterdir() if path.is_dir()]
    now, total = time.time(), 0
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        is_half = folder.name.startswith(".")
        if is_half and now - folder.stat().st_mtime < _LEFT_BEHIND_S:
            continue
        total += sum(path.stat().st_size for path in folder.iterdir())
        if is_half or (total > MOST_BYTES and folder != newest):
            shutil.rmtree(folder, ignore_errors=True)


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
