"""JSON files that describe a data set, read within bounds and checked against a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from medseg.core.errors import ReadError
from medseg.core.files import existing

LARGEST_DOCUMENT = 64 * 2**20
_SHOWN = 3
M = TypeVar("M", bound=BaseModel)


def read_text(path: Path, largest: int = LARGEST_DOCUMENT) -> str:
    """The text of a UTF-8 file of at most so many bytes, with or without a byte order mark.

    Raises:
        InputError: If it does not exist.
        ReadError: If it is too large, not readable or not UTF-8.
    """
    try:
        if existing(path).stat().st_size > largest:
            raise ReadError(f"{path.name}: larger than {largest // 2**20} MiB, so no list of cases or labels")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ReadError(f"{path.name}: cannot be read ({reason})") from error


def read_json(path: Path, largest: int = LARGEST_DOCUMENT) -> dict[str, Any]:
    """The object in a JSON file of at most so many bytes.

    Raises:
        InputError: If it does not exist.
        ReadError: If it holds no JSON object.
    """
    tree = read_json_value(path, largest)
    if not isinstance(tree, dict):
        raise ReadError(f"{path.name}: holds no JSON object ({{...}})")
    return tree


def read_json_value(path: Path, largest: int = LARGEST_DOCUMENT) -> dict[str, Any] | list[Any]:
    """The object or the list in a JSON file of at most so many bytes.

    Raises:
        InputError: If it does not exist.
        ReadError: If it holds neither.
    """
    try:
        tree = json.loads(read_text(path, largest))
    except json.JSONDecodeError as error:
        raise ReadError(f"{path.name}: not valid JSON at line {error.lineno}") from error
    except RecursionError as error:
        raise ReadError(f"{path.name}: nested too deeply") from error
    if not isinstance(tree, dict | list):
        raise ReadError(f"{path.name}: holds no JSON object ({{...}})")
    return tree


def parse_document(tree: dict[str, Any], model: type[M], name: str) -> M:
    """The object as ``model`` describes it.

    Raises:
        ReadError: If a key is missing or has another type; names the first three.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()]
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ReadError(f"{name}: {'; '.join(problems[:_SHOWN])}{more}") from error
