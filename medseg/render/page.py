"""One HTML page that needs nothing else: no network, no script; every text is escaped here."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import NewType

from PIL import Image

Html = NewType("Html", str)
Cell = str | tuple[str, str]
"""A text, or a text and a small note after it."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1b1f24; --muted: #5d6671; --line: #d8dde3;
  --strong: #58616c; --warn: #9a5b00; --alarm: #b3121d; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1c2026; --ink: #e7eaee; --muted: #9aa4b0;
  --line: #323942; --strong: #a5afbb; --warn: #e0a458; --alarm: #ff8078; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; padding-top: .9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, ul { margin: .4rem 0 .8rem; max-width: 75ch; }
li { margin: .25rem 0; }
.muted, figcaption { color: var(--muted); font-size: .9rem; }
figcaption { margin-top: .35rem; }
.wide { overflow-x: auto; margin: .6rem 0 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: normal; line-height: 1.25; }
.text { text-align: left; }
td.text { white-space: normal; min-width: 9rem; }
tr:hover td { background: var(--card); }
.heat td { min-width: 2.7rem; padding: .35rem .4rem; }
.heat tbody th { vertical-align: middle; }
.heat th.up { vertical-align: bottom; padding: .35rem .2rem; }
.heat th.up span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
.note { color: var(--muted); font-size: .82em; margin-left: .35em; }
figure { margin: 1rem 0; overflow-x: auto; }
figure img { max-width: 100%; height: auto; border-radius: 6px; display: block; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: .5rem 1.5rem; }
.row { display: flex; flex-wrap: wrap; gap: 0 1.2rem; }
.row figure { max-width: 100%; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--muted); font-size: 12px; }
svg text.name { fill: var(--ink); font-size: 13px; }
svg .grid, svg .strong, svg .median { stroke: var(--line); stroke-width: 1; }
svg .strong { stroke: var(--strong); }
svg .median { stroke: var(--ink); stroke-width: 2; }
svg .dashed { stroke-dasharray: 4 4; }
svg .box { fill: var(--card); stroke: var(--strong); }
svg circle { stroke: var(--paper); stroke-width: .8; }
svg circle:hover { stroke: var(--ink); stroke-width: 1.6; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--muted); }
.warning { border-left: 3px solid var(--warn); padding-left: .8rem; }
.warning summary { color: var(--warn); }
p.alarm { border-left: 3px solid var(--alarm); padding-left: .8rem; color: var(--alarm); font-weight: 600; }
@media print { body { max-width: none; } details { display: none; } }
"""


def page(title: str, parts: Sequence[Html]) -> str:
    """The whole document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(text: str) -> Html:
    """Title of a section."""
    return Html(f"<h2>{escape(text)}</h2>")


def subheading(text: str) -> Html:
    """Title of a part of a section."""
    return Html(f"<h3>{escape(text)}</h3>")


def paragraph(text: str, *, muted: bool = False) -> Html:
    """A paragraph of plain text."""
    return Html(f'<p class="muted">{escape(text)}</p>' if muted else f"<p>{escape(text)}</p>")


def alarm(text: str) -> Html:
    """A paragraph in red that nobody may miss."""
    return Html(f'<p class="alarm">{escape(text)}</p>')


def bullets(items: Sequence[str]) -> Html:
    """A list of plain texts."""
    return Html("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>")


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]], text_columns: int = 1) -> Html:
    """A table.

    Args:
        header: Names of the columns.
        rows: As many cells each as the header.
        text_columns: How many columns, from the left, hold words and not numbers.
    """
    head = "".join(_cell(name, "th", is_text=index < text_columns) for index, name in enumerate(header))
    lines = ("".join(_cell(cell, "td", is_text=index < text_columns) for index, cell in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return Html(f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>')


def drawing(svg: str, caption: str = "") -> Html:
    """A plot of `medseg.render.plots`."""
    return Html(f"<figure>{svg}{_caption(caption)}</figure>")


def photograph(image: Image.Image, caption: str) -> Html:
    """A picture, inside the page as PNG."""
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    size = f'width="{image.width}" height="{image.height}"'
    return Html(
        f'<figure><img {size} alt="{escape(caption)}" src="data:image/png;base64,{data}">{_caption(caption)}</figure>'
    )


def side_by_side(parts: Sequence[Html]) -> Html:
    """Small parts in as many columns as fit."""
    return Html(f'<div class="grid">{"".join(parts)}</div>')


def gallery(pictures: Sequence[Html]) -> Html:
    """Pictures in their own size, as many beside each other as fit."""
    return Html(f'<div class="row">{"".join(pictures)}</div>')


def folded(summary: str, parts: Sequence[Html], *, is_warning: bool = False) -> Html:
    """Parts that open on a click."""
    kind = ' class="warning"' if is_warning else ""
    return Html(f"<details{kind}><summary>{escape(summary)}</summary>{''.join(parts)}</details>")


def _cell(cell: Cell, tag: str, *, is_text: bool) -> str:
    text, note = (cell, "") if isinstance(cell, str) else cell
    small = f'<span class="note">{escape(note)}</span>' if note else ""
    kind = ' class="text"' if is_text else ""
    return f"<{tag}{kind}>{escape(text)}{small}</{tag}>"


def _caption(text: str) -> str:
    return f"<figcaption>{escape(text)}</figcaption>" if text else ""
