"""Spans of time as people write them: ``90s``, ``20min``, ``2h``."""

from __future__ import annotations

import re

from medseg.core.errors import ConfigError

_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of a text such as ``90s``, ``1.5min`` or ``2h``.

    Raises:
        ConfigError: If the text is not of that form, or not positive.
    """
    match = _FORM.fullmatch(text)
    seconds = float(match.group(1)) * _SECONDS[match.group(2)] if match else 0.0
    if seconds <= 0:
        raise ConfigError(f"{text!r} is no span of time; write a positive number with s, min or h, such as 30min")
    return seconds
