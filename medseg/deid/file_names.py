"""Names of released files and folders: what a name says of the image stays, whom it names goes.

Names of the Brain Imaging Data Structure (BIDS 1.11, https://bids.neuroimaging.io) keep their entities as long as the
labels are short numbers or known words; everything else becomes a keyed pseudonym. One name gives one pseudonym, so a
picture, its mask and its sidecar still share theirs.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey

from .bids_names import bids_words, entity_at_start, is_bids, is_entity
from .descriptors import Vocabulary
from .removed import Removed
from .texts import text

PATIENT_ID = 0x00100020

_WHOLE_NAMES = frozenset({"participants.tsv", "participants.json", "dataset_description.json"})
_FILE_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".json", ".tsv", ".bval", ".bvec")
_CHANNEL = re.compile(r"(.+)(_00[01]\d)")  # nnU-Net: case_0000
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_HEX = re.compile("[0-9a-f]{16}")


def safe_target(relative: PurePath, key: ProjectKey, vocabulary: Vocabulary, suffix: str | None = None) -> PurePath:
    """Where a file of the input goes in the output, as a relative path; two files never go to one place.

    BIDS names keep their form: ``sub-`` gets the 16 digits of the patient's pseudonym, labels of other entities stay if
    they are at most two digits or known words. Other files become ``image-`` and 16 digits (``_0000`` to ``_0019``,
    nnU-Net's channels, stay behind them), other folders ``folder-`` and 16 digits. What this function made stays as it
    is.

    Args:
        relative: Path of the source below the folder of the input.
        key: Of the project.
        vocabulary: Words that labels may hold besides ``data/bids_names.txt``.
        suffix: What the content asks for, as ``image_suffix`` says; by default the suffix of the name.

    Raises:
        InputError: If the path is absolute, climbs out, or is empty.
    """
    if relative.is_absolute() or relative.drive or ".." in relative.parts or not relative.name:
        raise InputError("the path of a file to be released must be relative and may not climb out of its folder")
    folders = [_safe_folder(part, key, vocabulary) for part in relative.parts[:-1]]
    return PurePath(*folders, _safe_file(relative.name, key, vocabulary, suffix))


def subject_label(relative: PurePath) -> str | None:
    """The subject that a BIDS path names, which stands for the patient's number; None if it names none."""
    entities = [entity_at_start(part) for part in relative.parts]
    labels = [entity[1] for entity in entities if entity and entity[0] == "sub"]
    return labels[-1] if labels else None


def subject_pseudonym(label: str, key: ProjectKey) -> str:
    """The patient's pseudonym for a subject's label: that of a DICOM patient whose number is the label."""
    made = f"patient-{label}"
    return made if _HEX.fullmatch(label) and key.made_name(made) else key.patient("", label)


def safe_subject(label: str, key: ProjectKey) -> str:
    """The label of a subject in the output: the 16 digits of the pseudonym."""
    return subject_pseudonym(label, key).removeprefix("patient-")


def safe_label(entity: str, label: str, key: ProjectKey, vocabulary: Vocabulary) -> str:
    """A label as it is if it is at most two digits or known words; else 16 digits of a pseudonym."""
    made = f"{entity}-{label}"
    if _is_safe(label, vocabulary) or (_HEX.fullmatch(label) and key.made_name(made)):
        return label
    return key.name(entity, label).removeprefix(f"{entity}-")


def taken_from(relative: PurePath, target: PurePath) -> tuple[Removed, ...]:
    """What of a path was replaced, for the proof: labels of subjects as patient numbers, the rest as texts."""
    taken: tuple[Removed, ...] = ()
    for part, safe in zip(relative.parts, target.parts, strict=True):
        stem = _split(part)[0]
        is_named = is_bids(stem) or is_entity(part)
        channel = _CHANNEL.fullmatch(stem)
        for piece in stem.split("_") if is_named else [channel[1] if channel else stem]:
            label = piece.partition("-")[2] if is_named else piece
            is_subject = is_named and piece.startswith("sub-")
            if piece not in _split(safe)[0].split("_"):
                taken += text(label, PATIENT_ID if is_subject else 0, "LO")
    return tuple(dict.fromkeys(taken))


def _safe_folder(name: str, key: ProjectKey, vocabulary: Vocabulary) -> str:
    if is_entity(name) and name.startswith(("sub-", "ses-")):
        return _safe_entity(name, key, vocabulary)
    return name if name in bids_words("folders") else key.name("folder", name)


def _safe_file(name: str, key: ProjectKey, vocabulary: Vocabulary, suffix: str | None) -> str:
    if name in _WHOLE_NAMES:
        return name
    stem, written = _split(name)
    suffix = written if suffix is None else suffix
    if not suffix or not written.endswith(suffix):
        whole = name if key.made_name(name) else f"{name}/"  # no stem ends so: names that differ stay different
        return key.name("image", whole) + suffix
    if is_bids(stem):
        *entities, kind = stem.split("_")
        return "_".join([*(_safe_entity(entity, key, vocabulary) for entity in entities), kind]) + written
    match = _CHANNEL.fullmatch(stem)
    return (key.name("image", match[1]) + match[2] if match else key.name("image", stem)) + written


def _safe_entity(entity: str, key: ProjectKey, vocabulary: Vocabulary) -> str:
    name, _, label = entity.partition("-")
    return f"{name}-{safe_subject(label, key) if name == 'sub' else safe_label(name, label, key, vocabulary)}"


def _is_safe(label: str, vocabulary: Vocabulary) -> bool:
    """Whether all parts of a label, split where letters and digits or cases change, are known or short numbers."""
    if label.lower() in bids_words("labels"):
        return True
    tokens = _TOKEN.findall(label)
    words = [token for token in tokens if not token.isdigit()]
    digits = sum(len(token) for token in tokens if token.isdigit())
    return digits <= 2 and "".join(tokens) == label and all(_is_known(word, vocabulary) for word in words)


def _is_known(word: str, vocabulary: Vocabulary) -> bool:
    return word.lower() in bids_words("labels") or vocabulary.knows(word)


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix of a file; no suffix if it is none of those that are released."""
    suffix = next((suffix for suffix in _FILE_SUFFIXES if name.endswith(suffix)), "")
    return (name[: -len(suffix)], suffix) if suffix and len(name) > len(suffix) else (name, "")
