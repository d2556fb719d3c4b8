"""A table of shares whose cells are the darker the larger the share is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from .page import Html

_MOST_LEVEL = 8
"""Names that stand level above the columns; more stand upright."""
_COLOUR = "0,114,178"
_LARGEST_SHADE = 0.7


def heat_table(corner: str, rows: Sequence[str], columns: Sequence[str], counts: NDArray[np.int64]) -> Html:
    """Shares of each row in percent; a cell tells its count when it is pointed at, and is empty where that is 0.

    Args:
        corner: What stands above the names of the rows.
        rows: Their names.
        columns: Their names.
        counts: Shape ``(rows, columns)``.
    """
    kind = ' class="up"' if len(columns) > _MOST_LEVEL else ""
    head = "".join(f"<th{kind}><span>{escape(name)}</span></th>" for name in columns)
    lines = "".join(
        f'<tr><th class="text">{escape(name)}</th>{_cells(name, columns, row)}</tr>\n'
        for name, row in zip(rows, counts, strict=True)
    )
    table = f'<thead><tr><th class="text">{escape(corner)}</th>{head}</tr></thead>\n<tbody>\n{lines}</tbody>'
    return Html(f'<div class="wide"><table class="heat">{table}</table></div>')


def _cells(name: str, columns: Sequence[str], row: NDArray[np.int64]) -> str:
    total = int(row.sum())
    cells = []
    for column, count in zip(columns, row.tolist(), strict=True):
        if not count:
            cells.append("<td></td>")
            continue
        share = count / total
        told = escape(f"{name} → {column}: {count} of {total}")
        shade = f"background:rgba({_COLOUR},{_LARGEST_SHADE * share:.3f})"
        cells.append(f'<td style="{shade}" title="{told}">{_percent(share)}</td>')
    return "".join(cells)


def _percent(share: float) -> str:
    """Such as ``97.3``; nearly nothing and nearly all are called so."""
    if share < 0.0005:
        return "&lt;0.1"
    return "&gt;99.9" if 0.9995 <= share < 1 else f"{100 * share:.1f}"
