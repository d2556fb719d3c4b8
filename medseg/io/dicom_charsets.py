"""Text of a file whose character set may change within a value, at escape sequences (PS3.5 section 6.1.2.5).

Not by pydicom's ``decode_bytes``: it warns of what cannot be decoded, and leaves the escape sequences of Chinese in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydicom.charset import CODES_TO_ENCODINGS, default_encoding

_ESCAPE = b"\x1b"
_LONG_ESCAPES = (b"$(", b"$)")
_DELIMITER = re.compile(rb"[\n\r\t\f\\^=]")
_KNOWS_ESCAPES = "iso2022"


def decoded(value: bytes, encodings: Sequence[str]) -> str:
    """The text of ``value``, of which what cannot be decoded is replaced.

    Args:
        value: As stored.
        encodings: Python's names of the file's character sets; the first holds up to the first escape sequence, and
            from each delimiter on.
    """
    first, *escaped = value.split(_ESCAPE)
    parts = [first.decode(encodings[0], errors="replace"), *(_decoded(part, encodings) for part in escaped)]
    return "".join(parts)


def _decoded(part: bytes, encodings: Sequence[str]) -> str:
    """What follows the escape character; all of it in the first character set if the sequence is none of the file's."""
    length = 3 if part.startswith(_LONG_ESCAPES) else 2
    encoding = CODES_TO_ENCODINGS.get(_ESCAPE + part[:length], "")
    if encoding not in (*encodings, default_encoding):
        return part.decode(encodings[0], errors="replace")
    if encoding.startswith(_KNOWS_ESCAPES):  # bytes of a character may look like a delimiter, but not like an escape
        return (_ESCAPE + part).decode(encoding, errors="replace")
    delimiter = _DELIMITER.search(part, length)
    end = delimiter.start() if delimiter else len(part)
    return part[length:end].decode(encoding, errors="replace") + part[end:].decode(encodings[0], errors="replace")
