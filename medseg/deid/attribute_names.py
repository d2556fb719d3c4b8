"""How reports call attributes and what is done to them."""

from __future__ import annotations

from pydicom.datadict import keyword_for_tag

from .policy import is_private
from .table import read_table

PRIVATE = "private"
_WORDS = {
    "keep": "kept",
    "remove": "removed",
    "empty": "emptied",
    "replace": "replaced by a dummy",
    "map UID": "UID replaced",
    "shift date": "date moved, time kept",
    "keep known words": "only known words kept",
    "pseudonym": "replaced by a pseudonym",
    "clean items": "items cleaned",
    "clean content": "content items cleaned",
    "clean graphics": "graphics cleaned",
}


def shown_tag(tag: int) -> str:
    """As the standard writes it; private attributes, whose numbers mean nothing outside, are all the same."""
    return PRIVATE if is_private(tag) else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def attribute_name(shown: str) -> str:
    """Keyword of the attribute that is shown as ``shown``; the name of one that is newer than the dictionary."""
    if shown == PRIVATE:
        return "private attributes"
    tag = int(shown[1:5] + shown[6:10], 16)
    rule = read_table().rules.get(tag)
    return keyword_for_tag(tag) or (rule.name if rule else "unknown attribute")


def action_in_words(action: str) -> str:
    """What an action did, as part of a sentence."""
    return _WORDS.get(action, action)
