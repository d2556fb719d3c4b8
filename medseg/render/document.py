"""A document of headings, texts, tables and plots, written once and shown as an HTML page or as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from . import page
from .page import Cell, Html

_MARKS = re.compile(r"([\\`*\[\]<>|~&])")
_LEADING = re.compile(r"^([#=+-]|\d+[.)](?=\s|$))")


@dataclass(frozen=True)
class Words:
    """A paragraph.

    Attributes:
        text: Plain text; empty lines part it into paragraphs.
        is_muted: Whether it is a remark.
        is_warning: Whether nobody may miss it.
    """

    text: str
    is_muted: bool = False
    is_warning: bool = False


@dataclass(frozen=True)
class Items:
    """A list of plain texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        header: Names of the columns.
        rows: As many cells each.
        text_columns: How many columns, from the left, hold words and not numbers.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    text_columns: int = 1


@dataclass(frozen=True)
class Plots:
    """Drawings of `medseg.render.plots`, beside each other where they are small; Markdown has none.

    Attributes:
        drawings: SVG, what it holds escaped.
        caption: Below them.
        is_small: Whether several fit beside each other.
    """

    drawings: tuple[str, ...]
    caption: str = ""
    is_small: bool = False


Part = Words | Items | Grid | Plots


@dataclass(frozen=True)
class Chapter:
    """Parts under a heading; without a title they open the document."""

    title: str
    parts: tuple[Part, ...]


def as_page(title: str, chapters: Sequence[Chapter]) -> str:
    """The document as one HTML page that needs nothing else."""
    parts: list[Html] = []
    for chapter in chapters:
        parts += [page.heading(chapter.title)] if chapter.title else []
        for part in chapter.parts:
            parts += _html(part)
    return page.page(title, parts)


def as_markdown(title: str, chapters: Sequence[Chapter]) -> str:
    """The document as Markdown with tables (GitHub's); texts stay texts, whatever marks they hold."""
    blocks = [f"# {_line(title)}"]
    for chapter in chapters:
        blocks += [f"## {_line(chapter.title)}"] if chapter.title else []
        for part in chapter.parts:
            blocks += _markdown(part)
    return "\n\n".join(blocks) + "\n"


def _html(part: Part) -> list[Html]:
    match part:
        case Words(text, is_muted, is_warning):
            return [page.alarm(one) if is_warning else page.paragraph(one, muted=is_muted) for one in _paragraphs(text)]
        case Items(texts):
            return [page.bullets(texts)]
        case Grid(header, rows, text_columns):
            return [page.table(header, rows, text_columns)]
        case Plots(drawings, caption, is_small):
            if is_small:
                return [page.side_by_side([page.drawing(one) for one in drawings]), *_caption(caption)]
            return [*(page.drawing(one) for one in drawings), *_caption(caption)]
        case _:
            assert_never(part)


def _caption(text: str) -> list[Html]:
    return [page.paragraph(text, muted=True)] if text else []


def _markdown(part: Part) -> list[str]:
    match part:
        case Words(text, _, is_warning):
            return [f"**{_line(one)}**" if is_warning else _line(one) for one in _paragraphs(text)]
        case Items(texts):
            return ["\n".join(f"- {_line(one)}" for one in texts)]
        case Grid(header, rows, text_columns):
            return [_table(header, rows, text_columns)]
        case Plots():
            return []
        case _:
            assert_never(part)


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]], text_columns: int) -> str:
    rule = ["---" if column < text_columns else "---:" for column in range(len(header))]
    lines = [[_line(name) for name in header], rule, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    text, note = (cell, "") if isinstance(cell, str) else cell
    return _line(f"{text} ({note})" if text and note else text or note)


def _paragraphs(text: str) -> list[str]:
    return [one.strip() for one in re.split(r"\n\s*\n", text) if one.strip()]


def _line(text: str) -> str:
    """One line of text that no mark of Markdown or HTML is read in."""
    plain = _MARKS.sub(r"\\\1", " ".join(text.split()))
    return _LEADING.sub(lambda mark: f"{mark[0][:-1]}\\{mark[0][-1]}", plain)
