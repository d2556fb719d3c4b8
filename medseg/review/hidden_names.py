"""Sentences about cases without the names of their files, which may be those of patients."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medseg.core.errors import MedsegError
from medseg.core.messages import redacted
from medseg.io.formats import image_stem

from .case_files import CaseFiles
from .records import Origin

_LONGEST, _MOST_NAMES = 600, 10_000
_USUAL = frozenset(
    {"dataset.json", "manifest.csv", "manifest.json", "labels.json", "predictions.csv"}
    | {"images", "labels", "imagesTr", "labelsTr"}
)


@contextmanager
def speaking_of(files: CaseFiles) -> Iterator[None]:
    """Errors of the block speak of the case by its pseudonym, and of its files not by name.

    Raises:
        MedsegError: Of the same class, in words that may be shown and logged.
    """
    try:
        yield
    except MedsegError as error:
        raise type(error)(f"case {files.name}: {without_names(str(error), _names_of(files))}") from None


def without_names(text: str, names: Iterable[str], *, words: bool = False) -> str:
    """One sentence without paths, UIDs and those names.

    Args:
        text: The sentence.
        names: Of files. They go where readers of files put them: before a colon, in quotes; and anywhere if they hold
            more than letters, as words of the sentence do not.
        words: Whether names of letters alone go anywhere too, at the price of words that happen to be such.
    """
    text = redacted(text)
    for name in sorted(filter(None, names), key=len, reverse=True):
        own = re.escape(name)
        text = re.sub(rf"(?<!\w)(?:case )?{own}: ", "", text)
        text = re.sub(rf"(['\"]){own}\1", "it", text)
        if words or not name.isalpha():
            text = re.sub(rf"(?<![\w.]){own}(?!\w)", "<name>", text)
    return text[:_LONGEST]


def note_of(error: MedsegError, root: Path) -> str:
    """What is wrong with a source, without what is in quotes and without the names of files below its folder."""
    return without_names(redacted(str(error), quotes=True), _names_below(root), words=True)


def shown_text(text: object, most: int) -> str:
    """Text that a file brings, as it may be kept and shown: one line, bounded, no control characters, paths or UIDs."""
    return " ".join(redacted(str(text)).split())[:most]


def _names_of(files: CaseFiles) -> set[str]:
    """What the files of a case are called; those of a batch are called by pseudonyms."""
    if files.origin is Origin.BATCH:
        return set()
    found = (files.prediction, files.reference, files.uncertainty, *files.image, *files.others.values())
    names = {name for path in found if path is not None for name in (path.name, image_stem(path))}
    return (names | {files.identifiers}) - _USUAL


def _names_below(root: Path) -> set[str]:
    """Names of files and folders there, without and with what follows the first dot; the first ten thousand of them."""
    names: set[str] = set()
    for _, folders, files in os.walk(root if root.is_dir() else root.parent):
        for name in (*folders, *files):
            names |= {name, image_stem(Path(name))} - _USUAL
        if len(names) > _MOST_NAMES:
            break
    return names
