"""Which data set a subject belongs to: one label in two data sets is two people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePath

from medseg.core.pseudonyms import ProjectKey

from .bids_names import bids_words
from .file_names import safe_subject, subject_label, subject_pseudonym

_FOLDER, _DERIVED = "folder", "derivatives"
_PARTS = ("rawdata", "sourcedata")


def data_set_of(relative: PurePath, key: ProjectKey) -> tuple[str, ...]:
    """The folders above a subject that tell its data set, as pseudonyms; empty if the data set is the input itself.

    Folders that are parts of a data set (``train``, ``images``, ``rawdata`` ...) tell none, nor do those inside of
    ``derivatives``.

    Args:
        relative: Path below the folder of the input; one that this package wrote gives the same.
        key: Of the project.
    """
    above = takewhile(lambda part: part != _DERIVED and subject_label(PurePath(part)) is None, relative.parts[:-1])
    folders = (key.name(_FOLDER, part) for part in above if part not in bids_words("folders"))
    parts = {key.name(_FOLDER, part) for part in _PARTS}
    return tuple(folder for folder in folders if folder not in parts)


def patient_of(data_set: Sequence[str], label: str, key: ProjectKey) -> str:
    """The patient's pseudonym for a subject's label in a data set, as ``data_set_of`` tells it."""
    return key.patient("/".join(data_set), safe_subject(label, key)) if data_set else subject_pseudonym(label, key)
