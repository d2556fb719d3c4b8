"""Texts that others wrote, shown as they stand."""

from __future__ import annotations

import re
import time

_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    """``text`` for a widget that reads Markdown: every sign of markup is taken as itself, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def sentence(text: str) -> str:
    """A message of ours, that starts small and has no full stop, as a sentence for a widget that reads Markdown."""
    return plain(f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}")


def moment(seconds: float | None) -> str:
    """Date and time of the server's clock; a dash if nobody knows."""
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def count(number: int, one: str, several: str) -> str:
    """``number`` with the word that fits it."""
    return f"{number:,} {one if number == 1 else several}"


def millilitres(volume: float | None) -> str:
    """A volume with as many digits as mean something; a dash if there is none."""
    if volume is None:
        return "-"
    return f"{volume:,.0f}" if volume >= 100 else f"{volume:.1f}" if volume >= 1 else f"{volume:.2f}"


def link(text: str) -> str:
    """``text`` for the label of a button that leads somewhere."""
    return f":blue[{plain(text)}]"
