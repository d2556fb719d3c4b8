"""Pictures side by side on dark paper, with a legend below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from medseg.core.labels import Colour

from .slices import Letters

_GAP = 10
_LINE = 20
_PAPER, _INK, _EDGE = (16, 18, 22), (232, 235, 240), (0, 0, 0)
_MOST_NAMES, _LONGEST_NAME = 24, 60
_SMALL, _NORMAL = 13, 14
_ROOM = 45  # pixels below which two letters would touch


@dataclass(frozen=True, eq=False)
class Pane:
    """One picture ``(rows, columns, 3)`` and what its edges are called; None where they have no meaning."""

    picture: NDArray[np.uint8]
    letters: Letters | None


def sheet(panes: Sequence[Pane], legend: Sequence[tuple[str, Colour]], note: str = "") -> Image.Image:
    """The panes from left to right, then a line for each row of the legend, then a note."""
    width = sum(pane.picture.shape[1] for pane in panes) + _GAP * (len(panes) + 1)
    tallest = max(pane.picture.shape[0] for pane in panes)
    entries = _placed(legend, max(width, 2 * _GAP + 120))
    lines = (entries[-1][1] + 1 if entries else 0) + bool(note)
    height = tallest + 2 * _GAP + lines * _LINE + (_GAP // 2 if lines else 0)
    paper = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(paper)
    left = _GAP
    for pane in panes:
        rows, columns = pane.picture.shape[:2]
        top = _GAP + (tallest - rows) // 2
        paper.paste(Image.fromarray(pane.picture), (left, top))
        if pane.letters is not None:
            write_letters(draw, pane.letters, (left, top, columns, rows))
        left += columns + _GAP
    base = tallest + 2 * _GAP
    for x, line, name, colour in entries:
        y = base + line * _LINE
        draw.rectangle((x, y + 2, x + 11, y + 13), fill=colour)
        draw.text((x + 17, y), name, fill=_INK, font=_font(_NORMAL))
    if note:
        draw.text((_GAP, base + (lines - 1) * _LINE), note, fill=(150, 155, 165), font=_font(_SMALL))
    return paper


def _placed(legend: Sequence[tuple[str, Colour]], width: int) -> list[tuple[int, int, str, Colour]]:
    """Left edge and line of each entry; a long legend ends with the number of names left out."""
    shown = [(" ".join(name.split())[:_LONGEST_NAME], colour) for name, colour in legend[:_MOST_NAMES]]
    if len(legend) > len(shown):
        shown.append((f"and {len(legend) - len(shown)} more", _PAPER))
    placed, x, line = [], _GAP, 0
    for name, colour in shown:
        needed = 17 + round(_font(_NORMAL).getlength(name)) + 16
        if x > _GAP and x + needed > width:
            x, line = _GAP, line + 1
        placed.append((x, line, name, colour))
        x += needed
    return placed


def write_letters(draw: ImageDraw.ImageDraw, letters: Letters, frame: tuple[int, int, int, int]) -> None:
    """Write what the edges of a picture are called just within them; the frame is left, top, width and height."""
    left, top, width, height = frame
    sides = [
        (letters.left, (left + 4, top + height // 2), "lm"),
        (letters.right, (left + width - 4, top + height // 2), "rm"),
    ]
    ends = [
        (letters.top, (left + width // 2, top + 3), "ma"),
        (letters.bottom, (left + width // 2, top + height - 3), "md"),
    ]
    for text, place, anchor in (sides if width >= _ROOM else []) + (ends if height >= _ROOM else []):
        draw.text(place, text, fill=_INK, font=_font(_NORMAL), anchor=anchor, stroke_width=2, stroke_fill=_EDGE)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
