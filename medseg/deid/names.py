"""Pseudonymous names of what a study is made of, the same wherever they are made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from medseg.core.pseudonyms import ProjectKey
from medseg.io.streams import opened_regular

STUDY, SERIES, INSTANCE, FILE, PICTURE = "study", "series", "instance", "file", "picture"


def name_of(key: ProjectKey, kind: str, uid: str) -> str:
    """Name of the study, series or instance with that UID, before or after the UID itself was replaced."""
    return key.name(kind, key.uid(uid))


def file_name_of(key: ProjectKey, relative: str) -> str:
    """Name of a file that has no UID, by its path below the input."""
    return key.name(FILE, f"path {relative}")


def picture_name_of(key: ProjectKey, relative: str, parts: Iterable[Path]) -> str:
    """Name of an image file by its path below the input and by its content: what a person looks at and accepts.

    Args:
        key: Of the project.
        relative: Path of the file below the input.
        parts: The file, and the second half of a pair.

    Raises:
        ReadError: If one is a link, no file, or may not be read.
    """
    digests = []
    for path in parts:
        with opened_regular(path) as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return key.name(PICTURE, "\n".join([relative, *digests]))
