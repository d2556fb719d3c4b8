"""Marks of a drawing as SVG text; colours come from the page, every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from medseg.core.labels import Colour

DOT = 3.0
"""Radius of a dot in pixels."""
_LONGEST = 24
_NARROWEST = 560


def drawing(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """The parts as one drawing that shrinks with the page as far as it stays readable."""
    size = f"max-width:{width:.0f}px;min-width:{min(width, _NARROWEST):.0f}px"
    frame = f'viewBox="0 0 {width:.0f} {height:.0f}" style="{size}" role="img"'
    return f"<svg {frame}><title>{escape(title)}</title>{''.join(parts)}</svg>"


def dot(x: float, y: float, colour: Colour, text: str, radius: float = DOT) -> str:
    """A dot that shows a text when it is pointed at."""
    fill = "#{:02x}{:02x}{:02x}".format(*colour)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}"><title>{escape(text)}</title></circle>'


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "tick") -> str:
    """Words at a place; long ones are cut and show themselves whole when pointed at."""
    place = f'class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    if len(words) <= _LONGEST or kind == "tick":
        return f"<text {place}>{escape(words)}</text>"
    return f"<text {place}>{escape(words[: _LONGEST - 1])}…<title>{escape(words)}</title></text>"


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """A line; kinds are grid, strong, median and dashed, several apart by spaces."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def box(left: float, top: float, width: float, height: float) -> str:
    """A rectangle."""
    return f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
