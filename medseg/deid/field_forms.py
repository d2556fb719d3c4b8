"""Forms that the value of a kept field must have, as regular expressions: what has one of these forms is no text."""

from __future__ import annotations

import re

NUMBER = r"[-+]?(?:\d{1,20}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,3})?"
NUMBERS = rf"{NUMBER}(?:\s+{NUMBER})*"

_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


def is_like_day(number: float) -> bool:
    """Whether a whole number reads as a day of the last century or this, such as 20240131."""
    return number == int(number) and _DAY.fullmatch(str(int(number))) is not None
