"""Content items of structured reports and of acquisition contexts, cleaned one by one (PS3.15 Table E.3.4-1).

What an item says depends on its concept name, so that the rules of attributes are not enough: a Text Value may be a
finding or a patient's number. Items without a row of their own are cleaned by the rules of their attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Protocol

from pydicom.dataset import Dataset

from medseg.config.deid import Option
from medseg.core.errors import DeidError

from .code_meanings import current_code
from .descriptors import Vocabulary
from .elements import bare, with_value
from .nested import items_of, keep_items, part
from .table import read_table

CONTENT_SEQUENCES = frozenset(
    {
        0x00400440,  # Protocol Context Sequence
        0x00400441,  # Content Item Modifier Sequence
        0x00400555,  # Acquisition Context Sequence
        0x00400612,  # Specimen Preparation Step Content Item Sequence
        0x00400620,  # Specimen Localization Content Item Sequence
        0x0040A730,  # Content Sequence
    }
)
"""Sequences of content items (PS3.3 sections 10.2 and C.17.3)."""
_CONTENT, _CONCEPT, _REFERENCE, _VALUE_TYPE = 0x0040A730, 0x0040A043, 0x0040DB73, 0x0040A040
_TEXT, _UID, _MEASURED, _NUMBER, _UNITS = 0x0040A160, 0x0040A124, 0x0040A300, 0x0040A30A, 0x004008EA
_CODE_VALUE, _SCHEME, _LONG_CODE_VALUE = 0x00080100, 0x00080102, 0x00080119
_PLAIN_VALUES = {"TEXT": _TEXT, "UIDREF": _UID}
_SUBJECT_AGE = ("DCM", "121033", "NUM")
_OLDEST_AGE = 89
_MAX_DEPTH = 32
_Path = tuple[int, ...]


class ItemCleaner(Protocol):
    """What the cleaning of items needs of the engine.

    Attributes:
        vocabulary: Words that may stay in texts.
        options: In force.
    """

    vocabulary: Vocabulary
    options: frozenset[Option]

    def walk(self, dataset: Dataset) -> None:
        """Clean an item, and the items in it, by the rules of their attributes."""

    def take(self, item: Dataset) -> None:
        """Note all values of an item, because they go."""


class _Fate(Enum):
    REMOVE = auto()
    DUMMY = auto()
    KEEP = auto()
    CLEAN = auto()


def clean_structured(items: Sequence[Dataset], cleaner: ItemCleaner) -> list[Dataset]:
    """The content items that stay, cleaned in place; an item that goes takes its children with it.

    References to other items of the same tree (0040,DB73) follow their targets, and go with them.

    Args:
        items: Of the uppermost content sequence; the engine's walk calls again for those inside of it.
        cleaner: The engine.

    Raises:
        DeidError: If items are nested too deeply.
    """
    tree = dict(_flat(items))
    kept = list(items)
    if gone := _gone(tree, cleaner):
        kept = _without(items, (1,), gone, cleaner)
        _follow(tree, {id(item): path for path, item in _flat(kept)})
    for item in kept:
        _clean(item, cleaner)
    return kept


def removed_content() -> Dataset:
    """A content item that says only that there was something."""
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121106", "DCM", "Comment"
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [name]
    item.TextValue = "removed"
    return item


def _flat(items: Sequence[Dataset], parent: _Path = (1,)) -> Iterator[tuple[_Path, Dataset]]:
    """All items of a tree with their places in it, as references name them: the root is 1, its first child 1, 1."""
    if len(parent) > _MAX_DEPTH:
        raise DeidError(f"content items are nested more than {_MAX_DEPTH} deep")
    for number, item in enumerate(items, 1):
        path = (*parent, number)
        yield path, item
        yield from _flat(items_of(item, _CONTENT), path)


def _gone(tree: Mapping[_Path, Dataset], cleaner: ItemCleaner) -> set[_Path]:
    """Places of the items that the table removes, and of references to them or to what lies in them."""
    gone = {path for path, item in tree.items() if _fate(item, cleaner) is _Fate.REMOVE}
    if not gone:
        return gone
    return gone | {path for path, item in tree.items() if _lies_in(_target(item), gone)}


def _lies_in(path: _Path, gone: set[_Path]) -> bool:
    return any(path[: length + 1] in gone for length in range(len(path)))


def _without(items: Sequence[Dataset], parent: _Path, gone: set[_Path], cleaner: ItemCleaner) -> list[Dataset]:
    kept = []
    for number, item in enumerate(items, 1):
        path = (*parent, number)
        if path in gone:
            cleaner.take(item)
            continue
        kept.append(item)
        if children := items_of(item, _CONTENT):
            keep_items(item, _CONTENT, _without(children, path, gone, cleaner))
    return kept


def _follow(tree: Mapping[_Path, Dataset], places: Mapping[int, _Path]) -> None:
    """Let references name the new places of their targets."""
    for item in tree.values():
        target = tree.get(_target(item))
        if target is not None and id(target) in places:
            item[_REFERENCE].value = list(places[id(target)])


def _target(item: Dataset) -> _Path:
    """Place of the item that this one refers to; empty if it refers to none."""
    if _REFERENCE not in item:
        return ()
    value = item[_REFERENCE].value
    return tuple(int(number) for number in ([value] if isinstance(value, int) else value or ()))


def _fate(item: Dataset, cleaner: ItemCleaner) -> _Fate:
    rule = read_table().content.get(_key(item))
    if rule is None:
        return _Fate.CLEAN
    codes = {code for option, code in rule.options.items() if option in cleaner.options}
    if "K" in codes:
        return _Fate.KEEP
    if "C" in codes:
        return _Fate.CLEAN
    return _Fate.REMOVE if rule.basic == "X" else _Fate.DUMMY


def _key(item: Dataset) -> tuple[str, str, str]:
    """Scheme and value of the concept name, and value type: what the rows go by."""
    scheme, value = next((_code(name) for name in items_of(item, _CONCEPT)), ("", ""))
    return scheme, value, bare(item, _VALUE_TYPE)


def _code(item: Dataset) -> tuple[str, str]:
    return current_code(bare(item, _SCHEME), bare(item, _CODE_VALUE) or bare(item, _LONG_CODE_VALUE))


def _clean(item: Dataset, cleaner: ItemCleaner) -> None:
    """Clean an item that stays; dates and UIDs that stay or move are seen to by the rules of their attributes."""
    fate, key = _fate(item, cleaner), _key(item)
    tag = _PLAIN_VALUES.get(key[-1], 0)
    value = None
    if tag in item and fate is _Fate.KEEP:
        value = item.get_item(tag)
        del item[tag]
    elif tag == _TEXT and tag in item and fate is _Fate.DUMMY:
        cleaner.take(part(item, tag))
        item[tag] = with_value(item, item.get_item(tag), b"removed ", "UT")
    elif key == _SUBJECT_AGE:
        _cap_age(item, cleaner)
    cleaner.walk(item)
    if value is not None:
        item[tag] = value


def _cap_age(item: Dataset, cleaner: ItemCleaner) -> None:
    """Make an age of more than 89 years 90, because so few are that old."""
    for measured in items_of(item, _MEASURED):
        units = [_code(unit) for unit in items_of(measured, _UNITS)]
        try:
            is_old = float(bare(measured, _NUMBER)) > _OLDEST_AGE
        except ValueError:
            is_old = True
        if is_old and units == [("UCUM", "a")]:
            cleaner.take(part(measured, _NUMBER))
            measured[_NUMBER] = with_value(measured, measured.get_item(_NUMBER), b"90", "DS")
