"""What people and files say, as far as it may be kept: bounded, and nothing that hides or reorders what is shown."""

from __future__ import annotations

import unicodedata

from medseg.core.errors import InputError

LONGEST_COMMENT = 4000
LONGEST_NAME = 320
"""Letters of a name; an e-mail address has no more (RFC 3696, erratum 1690)."""
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED = ("Cc", "Cs", "Zl", "Zp")


def checked_comment(text: str) -> str:
    """``text``, which may have several lines, as it is.

    Raises:
        InputError: If it is longer than ``LONGEST_COMMENT``, or holds control characters.
    """
    _check_length("a comment", text, LONGEST_COMMENT)
    _check_letters("a comment", text.replace("\n", "").replace("\t", ""))
    return str(text)


def checked_name(what: str, text: str, *, empty: bool = False) -> str:
    """``text``, one line that names something, as it is.

    Args:
        what: What it names, with an article, for the message.
        text: The name.
        empty: Whether it may be empty.

    Raises:
        InputError: If it is empty, too long, or holds control characters.
    """
    if not text and not empty:
        raise InputError(f"{what} must not be empty")
    _check_length(what, text, LONGEST_NAME)
    _check_letters(what, text)
    return str(text)


def _check_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise InputError(f"{what} has {len(text)} characters; at most {most} are kept, shorten it")


def _check_letters(what: str, text: str) -> None:
    for letter in text:
        if letter in _REORDERING or unicodedata.category(letter) in _REFUSED:
            raise InputError(f"{what} holds the control character U+{ord(letter):04X}; take it out")
