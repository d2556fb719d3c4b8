"""The list of what a person has looked at and found clean."""

from __future__ import annotations

from pathlib import Path

from medseg.core.errors import InputError
from medseg.core.files import existing
from medseg.core.pseudonyms import ProjectKey

_LARGEST = 50_000_000
_KINDS = ("series-", "instance-", "picture-")


def read_accepted(path: Path, key: ProjectKey) -> frozenset[str]:
    """The names in a list: one a line, of a series, an instance or a picture, as they stand in the quarantine.

    Empty lines and what follows a ``#`` do not count; a suffix such as ``.dcm`` or ``.png`` may stay.

    Args:
        path: A text file.
        key: Of the project; names that it did not make are refused, because they would accept nothing.

    Raises:
        InputError: If the file cannot be read or holds anything else.
    """
    try:
        if existing(path).stat().st_size > _LARGEST:
            raise InputError(f"{path.name!r} is too large for a list of names")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list of accepted names {path.name!r} cannot be read as text") from error
    names = set()
    for number, line in enumerate(lines, start=1):
        name = line.partition("#")[0].strip().partition(".")[0]
        if name and not (name.startswith(_KINDS) and key.made_name(name)):
            raise InputError(
                f"{path.name!r}, line {number}: no name of a series or instance or picture under this project key; "
                "copy names such as series-0123456789abcdef from the quarantine"
            )
        names.add(name)
    return frozenset(names - {""})
