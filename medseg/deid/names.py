"""Pseudonymous names of what a study is made of, the same wherever they are made."""

from __future__ import annotations

from medseg.core.pseudonyms import ProjectKey

STUDY, SERIES, INSTANCE, FILE = "study", "series", "instance", "file"


def name_of(key: ProjectKey, kind: str, uid: str) -> str:
    """Name of the study, series or instance with that UID, before or after the UID itself was replaced."""
    return key.name(kind, key.uid(uid))


def file_name_of(key: ProjectKey, relative: str) -> str:
    """Name of a file that has no UID, by its path below the input."""
    return key.name(FILE, f"path {relative}")
