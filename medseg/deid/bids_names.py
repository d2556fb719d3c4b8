"""What the Brain Imaging Data Structure (BIDS) says of names and keys, from two lists in ``data``."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib.resources import files


def bids_words(kind: str) -> frozenset[str]:
    """What names may hold: ``entities``, ``suffixes``, ``folders`` or ``labels``."""
    return _lists("bids_names.txt")[kind]


@functools.cache
def bids_keys() -> Mapping[str, str]:
    """The form that the value of a key of a sidecar must have, by key."""
    return {key: form for form, keys in _lists("bids_keys.txt").items() for key in keys}


def entity_at_start(name: str) -> tuple[str, str] | None:
    """Entity and label with which a name begins, such as ``("sub", "01")``; None if it begins with none."""
    match = _entity().match(name)
    return (match[1], match[2]) if match else None


def is_entity(name: str) -> bool:
    """Whether a name is one entity with its label and nothing else."""
    return _entity().fullmatch(name) is not None


def is_bids(stem: str) -> bool:
    """Whether a name without its suffix is entities of BIDS, each at most once, and one of its suffixes."""
    *pieces, kind = stem.split("_")
    names = {piece.partition("-")[0] for piece in pieces if is_entity(piece)}
    return kind in bids_words("suffixes") and len(names) == len(pieces)


@functools.cache
def _entity() -> re.Pattern[str]:
    return re.compile(rf"({'|'.join(sorted(bids_words('entities')))})-([A-Za-z0-9+]+)")


@functools.cache
def _lists(file: str) -> Mapping[str, frozenset[str]]:
    lists: dict[str, frozenset[str]] = {}
    name = ""
    for line in files(__package__).joinpath("data", file).read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            lists[name] = lists.get(name, frozenset()) | frozenset(line.split())
        elif not line.startswith("#"):
            name = line.strip()
    return lists
