"""The head file: the last entry of the audit log, sealed, beside the database.

It is written after each commit, so a log that is longer was cut short by a crash, and one that is shorter was cut off.
Who puts an old copy of both the database and this file in their place is not found out; keep the file elsewhere too
where that matters.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from medseg.core.errors import OutputError
from medseg.core.files import atomic_file
from medseg.io.incoming import flushed_folder

from .audit import Mark, Sealer, same

FILE = "audit.head"
_FORM = re.compile(r"(\d{1,18}) ([0-9a-f]{64}) ([0-9a-f]{64})\n")


def read_head(folder: Path, sealer: Sealer) -> Mark | str:
    """The entry that the head file names; or, in words, why it names none."""
    try:
        with (folder / FILE).open("rb") as stream:
            found = _FORM.fullmatch(stream.read(200).decode("ascii", errors="replace"))
    except FileNotFoundError:
        return f"{FILE} is missing"
    except OSError as error:
        return f"{FILE} cannot be read ({error.strerror})"
    if found is None:
        return f"{FILE} is damaged"
    mark = Mark(int(found[1]), found[2])
    return mark if same(sealer.head(mark), found[3]) else f"{FILE} was changed, or another project key wrote it"


def write_head(folder: Path, mark: Mark, sealer: Sealer) -> None:
    """Name an entry as the last one, atomically.

    Raises:
        OutputError: If the file cannot be written, or its name not be brought to the disk.
    """
    is_new = not (folder / FILE).exists()
    with atomic_file(folder / FILE) as partial:
        partial.write_text(f"{mark.number} {mark.digest} {sealer.head(mark)}\n", encoding="ascii")
    if is_new:
        try:
            flushed_folder(os.open(folder, os.O_RDONLY))
        except OSError as error:
            raise OutputError(f"the review folder cannot be written to ({error.strerror})") from error


def clear_partial_heads(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote the head file; only for who holds the lock."""
    for path in folder.glob(f".partial-*-{FILE}"):
        with contextlib.suppress(OSError):
            path.unlink()
