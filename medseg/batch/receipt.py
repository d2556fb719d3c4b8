"""The receipt in a study's folder: what became of it, should the manifest not have heard."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from .records import StudyResult

FILE = "result.json"
_LARGEST = 2**24
_RESULT = TypeAdapter(StudyResult)


def write_receipt(folder: Path, result: StudyResult) -> None:
    """Write down the result beside its files; the folder takes its place later."""
    (folder / FILE).write_bytes(_RESULT.dump_json(result, indent=1))


def read_receipt(folder: Path) -> StudyResult | None:
    """The result that a study's folder tells of, if all its files are there in their sizes; None if not."""
    path = folder / FILE
    try:
        if path.stat().st_size > _LARGEST:
            return None
        result = _RESULT.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    whole = all(is_there(folder, one.name, one.size) for one in result.outputs)
    return result if whole else None


def is_there(folder: Path, name: str, size: int) -> bool:
    """Whether a file of that size lies in the folder."""
    path = folder / name
    return path.is_file() and path.stat().st_size == size
