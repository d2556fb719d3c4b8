"""YAML from outside: plain values, no objects, and no few lines that stand for gigabytes."""

from __future__ import annotations

from typing import Any

import yaml

_MOST_VALUES = 1_000_000


class TooManyValuesError(yaml.YAMLError):
    """A text repeats values (``&name``, ``*name``) until they are more than a million, or without end."""


def plain_yaml(text: str) -> Any:
    """What a text says.

    Raises:
        yaml.YAMLError: If it is no YAML, or stands for too many values.
        ValueError: If a value looks like a date and is none.
        RecursionError: If it is nested too deeply.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > _MOST_VALUES:
            raise TooManyValuesError
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Values below a node, each repeated one counted again; ``known`` holds None for those that are being counted."""
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise TooManyValuesError
        return count
    known[id(node)] = None
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        parts = node.value
    elif isinstance(node, yaml.MappingNode):
        parts = [one for pair in node.value for one in pair]
    known[id(node)] = count = 1 + sum(_count(one, known) for one in parts)
    return count
