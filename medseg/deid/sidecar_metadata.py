"""Keys of a BIDS sidecar: which stay, and with which value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from medseg.core.errors import InputError

from .bids_names import bids_keys
from .descriptors import Vocabulary
from .field_forms import is_like_day
from .file_names import safe_label, safe_target
from .removed import Removed
from .sidecar_rules import SidecarRules
from .texts import text
from .values import capped_age

_TECHNICAL = re.compile(r"[A-Za-z0-9 ._/\\+*,:;()\[\]<>=%^#&-]{0,80}")
_LONG_NUMBER = re.compile(r"\d{6}")
_URI = "bids::"
_DEEPEST = 4
_LARGEST = 10**15  # also false for NaN
_OLDEST = 90
_DESCRIPTION = {
    "BIDSVersion": re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}"),
    "DatasetType": re.compile("raw|derivative"),
    "HEDVersion": re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}"),
    "License": re.compile(r"(?:CC0|PDDL|PD|CC-BY(?:-NC)?(?:-SA|-ND)?)(?:[- ]?\d\.\d)?"),
}


def clean_metadata(content: Mapping[str, Any], rules: SidecarRules) -> tuple[dict[str, Any], tuple[Removed, ...]]:
    """What may stay of the content of a sidecar, and the values of the rest."""
    kept: dict[str, Any] = {}
    taken: list[Removed] = []
    for key, value in content.items():
        cleaned = _cleaned(key, value, rules)
        if cleaned is not None:
            kept[key] = cleaned
        if cleaned != value:
            taken += _values(key, value)
    return kept, tuple(taken)


def clean_description(content: Mapping[str, Any], vocabulary: Vocabulary) -> tuple[dict[str, Any], tuple[Removed, ...]]:
    """What may stay of ``dataset_description.json``: versions, type, licence, and the words of the name."""
    name = _mapped(content.get("Name"), vocabulary.clean)
    kept = {"Name": name if isinstance(name, str) else "de-identified data set", "GeneratedBy": [{"Name": "medseg"}]}
    for key, form in _DESCRIPTION.items():
        value = content.get(key)
        if isinstance(value, str) and form.fullmatch(value):
            kept[key] = value
    gone = {key: value for key, value in content.items() if kept.get(key) != value}
    return kept, tuple(removed for key, value in gone.items() for removed in _values(key, value))


def _cleaned(key: str, value: Any, rules: SidecarRules) -> Any:
    """The value as it may stay; None if it may not."""
    match bids_keys().get(key):
        case "numbers":
            return value if _is_numeric(value) else None
        case "technical":
            return _mapped(value, _technical)
        case "characteristics" if rules.characteristics:
            return _characteristic(key, value)
        case "words":
            return _mapped(value, rules.vocabulary.clean)
        case "paths":
            return _mapped(value, lambda path: _safe_path(path, rules))
        case "tasks":
            return _mapped(value, lambda label: _safe_label("task", label, rules))
        case "fields":
            return _mapped(value, lambda label: _safe_label("field", label, rules))
        case _:
            return None


def _characteristic(key: str, value: Any) -> Any:
    """A number or term about the patient; ages above 89 become 90."""
    is_age = key == "PatientAge"
    if isinstance(value, list) and is_age:
        return None
    if _is_numeric(value):
        return min(value, _OLDEST) if is_age else value
    term = _mapped(value, _technical)
    return capped_age(term.encode("ascii")).decode("ascii") if term and is_age else term


def _is_numeric(value: Any, depth: int = 0) -> bool:
    """Whether a value is a number or truth value, or a list of them; a number that reads as a day is none."""
    if isinstance(value, list):
        return depth < _DEEPEST and all(_is_numeric(entry, depth + 1) for entry in value)
    if isinstance(value, bool):
        return True
    return isinstance(value, int | float) and abs(value) < _LARGEST and not is_like_day(value)


def _mapped(value: Any, clean: Callable[[str], str]) -> Any:
    """A text, or each text of a list, as ``clean`` lets it through; None if nothing is left."""
    if isinstance(value, str):
        return clean(value) or None
    if isinstance(value, list):
        cleaned = [clean(entry) for entry in value if isinstance(entry, str)]
        return [entry for entry in cleaned if entry] or None
    return None


def _technical(value: str) -> str:
    return value if _TECHNICAL.fullmatch(value) and not _LONG_NUMBER.search(value) else ""


def _safe_path(value: str, rules: SidecarRules) -> str:
    """Where the image of a path lies in the output; empty if it is no path within the data set."""
    try:
        target = safe_target(PurePath(value.removeprefix(_URI)), rules.key, rules.vocabulary)
    except InputError:
        return ""
    return _URI + target.as_posix() if value.startswith(_URI) else target.as_posix()


def _safe_label(entity: str, value: str, rules: SidecarRules) -> str:
    """The label that the file name has: letters and digits of the value, replaced where the name's label is."""
    label = "".join(letter for letter in value if letter.isalnum())
    return safe_label(entity, label, rules.key, rules.vocabulary) if label else ""


def _values(key: str, value: Any, depth: int = 0) -> Iterator[Removed]:
    """All texts and numbers in a value, as values of the DICOM attribute that the key names."""
    if isinstance(value, dict | list) and depth < _DEEPEST:
        pairs = value.items() if isinstance(value, dict) else ((key, entry) for entry in value)
        for inner, entry in pairs:
            yield from _values(inner, entry, depth + 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        tag = tag_for_keyword(key) or 0
        yield from text(str(value), tag, dictionary_VR(tag) if tag else "LT")
