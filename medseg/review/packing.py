"""An export as one file, for a browser to take away."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from medseg.core.errors import InputError

MOST_MB = 512
_MIB = 2**20


def packed(folder: Path, most_mb: int = MOST_MB) -> bytes:
    """A ZIP archive of a folder's files, under names relative to it; links are left out.

    Args:
        folder: What is packed.
        most_mb: What its files may hold together, since all of it is in memory.

    Raises:
        InputError: If they hold more.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(path.stat().st_size for path in files)
    if size > most_mb * _MIB:
        raise InputError(
            f"the export has {size // _MIB} MB, of which {most_mb} MB can be taken through the browser; "
            "take it from the folder of exports on the server"
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder).as_posix())
    return content.getvalue()
