"""What an audit finds in one file."""

from __future__ import annotations

from typing import NamedTuple


class Trace(NamedTuple):
    """Something that is left, or may be.

    Attributes:
        kind: What it is, in words.
        where: Attribute, header field or part of the file; never a value.
        is_note: It may be right as it is, which the file alone does not tell.
    """

    kind: str
    where: str
    is_note: bool = False
