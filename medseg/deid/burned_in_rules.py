"""Rules about devices, read from a file: which images are doubtful, and which rectangles of them hold a banner."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pydicom.dataset import Dataset

from medseg.core.errors import DeidError

from .boxes import Box
from .header_values import figure, word, words

_SOP_CLASS, _MODALITY, _IMAGE_TYPE, _DESCRIPTION = 0x00080016, 0x00080060, 0x00080008, 0x0008103E
_MANUFACTURER, _MODEL, _ROWS, _COLUMNS, _REGIONS = 0x00080070, 0x00081090, 0x00280010, 0x00280011, 0x00186011
_EQUAL = {"sop_class": _SOP_CLASS, "modality": _MODALITY}
_PREFIX = {"manufacturer": _MANUFACTURER, "model": _MODEL}
_PHRASES = {"image_type": _IMAGE_TYPE, "description": _DESCRIPTION}
_LEAST = {"least_rows": _ROWS, "least_columns": _COLUMNS}
_CONDITIONS = {*_EQUAL, *_PREFIX, *_PHRASES, *_LEAST, "has_regions"}
_NO_WORD = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True)
class DeviceRule:
    """One rule.

    Attributes:
        when: Conditions, which all have to hold.
        doubt: Why such an image may show text; empty if the rule raises no doubt.
        blank: Rectangles (top, left, bottom, right) as parts of rows and columns.
    """

    when: Mapping[str, Any]
    doubt: str
    blank: tuple[tuple[float, float, float, float], ...]

    def holds(self, dataset: Dataset) -> bool:
        """Whether the rule is about this image."""
        return all(_condition_holds(dataset, name, wanted) for name, wanted in self.when.items())


@functools.cache
def device_rules() -> tuple[DeviceRule, ...]:
    """The rules that come with the package."""
    return parse_rules(files(__package__).joinpath("data/burned_in_rules.json").read_text(encoding="utf-8"))


def parse_rules(text: str) -> tuple[DeviceRule, ...]:
    """The rules of a JSON text.

    Raises:
        DeidError: If a condition is not known, a rule says nothing, or a rectangle does not lie in the image.
    """
    return tuple(_rule(number, entry) for number, entry in enumerate(json.loads(text)["rules"], start=1))


def device_doubt(dataset: Dataset) -> str | None:
    """Why the device makes the image doubtful; None if no rule does."""
    return next((rule.doubt for rule in device_rules() if rule.doubt and rule.holds(dataset)), None)


def banners(dataset: Dataset, rows: int, columns: int) -> list[Box]:
    """Rectangles that are to be blanked whatever they show."""
    parts = [part for rule in device_rules() if rule.blank and rule.holds(dataset) for part in rule.blank]
    return [
        Box(int(top * rows), int(left * columns), round(bottom * rows), round(right * columns))
        for top, left, bottom, right in parts
    ]


def _rule(number: int, entry: Mapping[str, Any]) -> DeviceRule:
    rule = DeviceRule(entry["when"], entry.get("doubt", ""), tuple(map(tuple, entry.get("blank", ()))))
    unknown = set(rule.when) - _CONDITIONS
    if unknown or not rule.when:
        raise DeidError(
            f"rule {number}: conditions {sorted(unknown)}; known are {sorted(_CONDITIONS)}, and one is needed"
        )
    if not rule.doubt and not rule.blank:
        raise DeidError(f"rule {number}: says neither what to doubt nor what to blank")
    for top, left, bottom, right in rule.blank:
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise DeidError(f"rule {number}: a rectangle is top, left, bottom, right as parts of the image from 0 to 1")
    return rule


def _condition_holds(dataset: Dataset, name: str, wanted: Any) -> bool:
    if name in _EQUAL:
        return word(dataset, _EQUAL[name]) in wanted
    if name in _PREFIX:
        return word(dataset, _PREFIX[name]).startswith(tuple(wanted))
    if name in _PHRASES:
        found = [f" {_NO_WORD.sub(' ', value).strip()} " for value in words(dataset, _PHRASES[name])]
        return any(f" {phrase} " in text for phrase in wanted for text in found)
    if name in _LEAST:
        return figure(dataset, _LEAST[name], 0) >= int(wanted)
    return (_REGIONS in dataset) is bool(wanted)
