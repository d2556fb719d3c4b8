"""Who made outlines: a reader, or a model as it was then."""

from __future__ import annotations

from collections.abc import Iterable

from .audit import AuditEntry, Details
from .records import LOCAL_READER, Act, ModelStamp, Version


def is_reader(author: str) -> bool:
    """Whether a version's author is a person; a model's name is no address."""
    return author == LOCAL_READER or "@" in author


def made_by_model(versions: Iterable[Version], version: Version) -> Version:
    """The version itself, or the last one before it that a model made; the first one if none did.

    Args:
        versions: Of the case.
        version: One of them.
    """
    by_number = {one.number: one for one in versions}
    while is_reader(version.author) and version.parent is not None:
        version = by_number[version.parent]
    return version


def stamp_of(entries: Iterable[AuditEntry], version: Version) -> ModelStamp:
    """The model that made a version, as the log's entries about the case have it; empty if they do not say."""
    found = ModelStamp()
    for entry in entries:
        facts = entry.facts
        if entry.act == Act.SAVED and facts.get("version") == version.number:
            found = _stamp(facts, "model", "model_version", "model_digest")
        if entry.act == Act.INFERRED and str(facts.get("kept as")) == str(version.number):
            return _stamp(facts, "model", "version", "digest")
    return found


def _stamp(facts: Details, *keys: str) -> ModelStamp:
    name, version, digest = (str(facts.get(key, "")) for key in keys)
    return ModelStamp(name, version, digest)
