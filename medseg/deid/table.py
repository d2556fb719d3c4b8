"""PS3.15 Table E.1-1 as data: what the standard says about each attribute."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from medseg.config.deid import Option

PRIVATE, CURVES, OVERLAY_DATA, OVERLAY_COMMENTS = "PRIVATE", "50XXXXXX", "60XX3000", "60XX4000"


@dataclass(frozen=True)
class Rule:
    """One row.

    Attributes:
        tag: Eight hexadecimal digits, or ``PRIVATE``, ``50XXXXXX``, ``60XX3000``, ``60XX4000``.
        name: Name of the attribute.
        basic: Action codes of the Basic Profile, such as ``X`` or ``X/Z/D``.
        options: Action code of each option that has one.
    """

    tag: str
    name: str
    basic: str
    options: Mapping[Option, str]


@dataclass(frozen=True)
class ContentRule:
    """One row of Table E.3.4-1: a content item of a structured report, found by its concept name and value type."""

    value: str
    scheme: str
    meaning: str
    value_type: str
    basic: str
    options: Mapping[Option, str]


@dataclass(frozen=True)
class Code:
    """A code of context group 7050, which says what was done."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """The whole table of one edition.

    Attributes:
        edition: Such as ``2026d``.
        rules: By tag number.
        patterns: The four rows that name no single tag, by what stands for the tag.
        content: By scheme and value of the concept name, and value type such as ``TEXT``.
        codes: Of each option; the Basic Profile under None.
    """

    edition: str
    rules: Mapping[int, Rule]
    patterns: Mapping[str, Rule]
    content: Mapping[tuple[str, str, str], ContentRule]
    codes: Mapping[Option | None, Code]


@functools.cache
def read_table() -> Table:
    """The table that the package carries."""
    content = json.loads(files(__package__).joinpath("data/ps3_15_e1_1.json").read_text(encoding="utf-8"))
    return parse_table(content)


def parse_table(content: Mapping[str, Any]) -> Table:
    """A table from the content of its JSON file."""
    rules = [Rule(row["tag"], row["name"], row["basic"], _options(row)) for row in content["rules"]]
    return Table(
        edition=content["_note"]["edition"],
        rules={int(rule.tag, 16): rule for rule in rules if _is_number(rule.tag)},
        patterns={rule.tag: rule for rule in rules if not _is_number(rule.tag)},
        content={
            (row["scheme"], row["code"], row["value_type"]): _content_rule(row) for row in content["content_items"]
        },
        codes={
            None if name == "basic" else Option(name): Code(code["code"], code["scheme"], code["meaning"])
            for name, code in content["cid_7050"].items()
        },
    )


def _content_rule(row: Mapping[str, Any]) -> ContentRule:
    return ContentRule(row["code"], row["scheme"], row["meaning"], row["value_type"], row["basic"], _options(row))


def _options(row: Mapping[str, Any]) -> dict[Option, str]:
    return {Option(name): action for name, action in row["options"].items()}


def _is_number(tag: str) -> bool:
    return all(digit in "0123456789ABCDEF" for digit in tag)
