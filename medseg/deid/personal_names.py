"""How the name of a person may be spelled elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .familiar import Familiar

SHORTEST_PART, SHORTEST_ASIAN_PART, SHORTEST_JOINED = 4, 2, 6
_SEPARATORS = ("^", " ", ", ", ",", "_", "-", ".", "")
_GROUPS = re.compile(r"[=\\]")
_PART_ENDS = re.compile(r"[\s^=,.;:/_()\[\]\"*+&-]+")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d]")


def spellings_of_name(value: str, familiar: Familiar) -> Iterator[str]:
    """The name in full, family and given name in either order, and its parts; one may come twice.

    Args:
        value: As in PN (PS3.5 section 6.2): groups parted by ``=``, components by ``^``, or as people type it.
        familiar: What is no name, such as ``ANONYMOUS``; a name made of such words only has no spelling.
    """
    for group in _GROUPS.split(value):
        full = group.strip(" ^")
        if not familiar.knows(full):
            yield from filter(_is_long_enough, _wholes(full))
            yield from (part for part in _parts(full) if _is_long_enough(part) and not familiar.knows(part))


def is_east_asian(text: str) -> bool:
    """Whether Chinese, Japanese or Korean characters are in it, which mean more each than letters do."""
    return _EAST_ASIAN.search(text) is not None


def _wholes(full: str) -> Iterator[str]:
    yield full
    family, given = _family_and_given(full)
    if family and given:
        for separator in _SEPARATORS:
            if separator or len(family + given) >= SHORTEST_JOINED or is_east_asian(full):
                yield family + separator + given
                yield given + separator + family
    if " " in family and len(family) >= SHORTEST_JOINED:
        yield family


def _family_and_given(full: str) -> tuple[str, str]:
    """The first two components; by the comma or the space where there is no ``^``."""
    separator = next((sign for sign in "^, " if sign in full), "^")
    first, _, rest = full.partition(separator)
    return first.strip(), rest.split("^")[0].strip()


def _parts(full: str) -> Iterator[str]:
    for part in _PART_ENDS.split(full):
        yield part
        if "'" in part:
            yield part.replace("'", "")
            yield from part.split("'")


def _is_long_enough(text: str) -> bool:
    if is_east_asian(text):
        return len(text) >= SHORTEST_ASIAN_PART
    return len(text) >= (SHORTEST_JOINED if text.isdigit() else SHORTEST_PART)
