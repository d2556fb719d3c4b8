"""Left and right in the names of structures."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BREAKS = re.compile(
    r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z][a-z])(?=\d)|(?<=[A-Z][A-Z])(?=\d)"
)
# lh and rh are FreeSurfer's hemispheres. Left and right may stand at either end of a word, as in kidneyleft, but
# leftover, cleft and bright are no sides.
_SIDE = re.compile(r"(l|r|lt|rt|lh|rh)$|(left|right)(?!over)|\w{3,}(left|right)$")
_OTHER = str.maketrans("lr", "rl")


def words_of(name: str) -> list[str]:
    """The words of a name in lower case; ``LeftKidney``, ``EyeL`` and ``lh.cortex`` are two words each."""
    return [word.lower() for word in _BREAKS.split(name) if word]


def names_a_side(name: str) -> bool:
    """Whether a word of a name says left or right."""
    return any(_SIDE.match(word) for word in words_of(name))


def paired(names: Iterable[str]) -> frozenset[str]:
    """Names that differ from another one only by l or r as the first or the last letter, as lkidney from rkidney."""
    known = {"".join(words_of(name)): name for name in names}
    return frozenset(name for joined, name in known.items() if any(other in known for other in _other_sides(joined)))


def _other_sides(joined: str) -> set[str]:
    first, last = joined[:1].translate(_OTHER) + joined[1:], joined[:-1] + joined[-1:].translate(_OTHER)
    return {first, last} - {joined}
