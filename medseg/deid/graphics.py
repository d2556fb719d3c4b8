"""Graphic annotations of presentation states: text is cleaned or goes, what is drawn stays (PS3.15 section E.3.3).

Overlays and curves are no matter of this module: they always go, for text may be drawn in them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from .elements import Element, with_value
from .nested import encodings_of, items_of, keep_items, part, text_of
from .structured import ItemCleaner
from .values import padded

_TEXT, _TEXT_OBJECTS = 0x00700006, 0x00700008
_DRAWN = (0x00700008, 0x00700009, 0x00700209)


def clean_graphics(items: Sequence[Dataset], cleaner: ItemCleaner) -> list[Dataset]:
    """The items of a Graphic Annotation Sequence (0070,0001) that still show something, cleaned in place.

    Args:
        items: Of the sequence.
        cleaner: The engine.
    """
    kept = []
    for item in items:
        _drop_unknown_texts(item, cleaner)
        if not any(tag in item for tag in _DRAWN):
            cleaner.take(item)
            continue
        _clean(item, cleaner)
        kept.append(item)
    return kept


def _drop_unknown_texts(item: Dataset, cleaner: ItemCleaner) -> None:
    if _TEXT_OBJECTS not in item:
        return
    kept = []
    for text in items_of(item, _TEXT_OBJECTS):
        if cleaner.vocabulary.clean(text_of(text, _TEXT)):
            kept.append(text)
        else:
            cleaner.take(text)
    keep_items(item, _TEXT_OBJECTS, kept)


def _clean(item: Dataset, cleaner: ItemCleaner) -> None:
    """Clean an item by the rules of its attributes, but for its texts, which keep their known words."""
    texts = items_of(item, _TEXT_OBJECTS)
    cleaned = [_known_words(text, cleaner) for text in texts]
    for text in texts:
        del text[_TEXT]
    cleaner.walk(item)
    for text, element in zip(texts, cleaned, strict=True):
        text[_TEXT] = element


def _known_words(item: Dataset, cleaner: ItemCleaner) -> Element:
    text, element = text_of(item, _TEXT), item.get_item(_TEXT)
    if cleaner.vocabulary.knows(text):
        return element
    cleaner.take(part(item, _TEXT))
    words = cleaner.vocabulary.clean(text).encode(encodings_of(item)[0], "ignore")
    return with_value(item, element, padded(words, "ST"), "ST")
