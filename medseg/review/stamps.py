"""What tells whether files are as they were, without reading them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[tuple[str, int, int], ...]
_DEEPEST, _MOST_FOLDERS = 32, 1_000_000


def stamp(paths: Iterable[Path]) -> Stamp:
    """Size and time of the last change of each file or folder; -1 for those that are not there."""
    return tuple(_facts(str(path)) for path in paths)


def tree_stamp(root: Path) -> Stamp:
    """Of a file, or of a folder and all below it, which change when a file in them comes, goes or takes a new name.

    A file that is written over in its place does not show. Links to folders are not followed.
    """
    found = [_facts(str(root))]
    waiting = [(str(root), 0)]
    while waiting and len(found) < _MOST_FOLDERS:
        folder, depth = waiting.pop()
        below = _folders_in(folder) if depth < _DEEPEST else []
        found.extend(map(_facts, below))
        waiting.extend((one, depth + 1) for one in below)
    return tuple(found)


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _facts(path: str) -> tuple[str, int, int]:
    try:
        facts = os.stat(path)  # noqa: PTH116 - a string of a million need not become a path
    except OSError:
        return path, -1, -1
    return path, facts.st_size, facts.st_mtime_ns
