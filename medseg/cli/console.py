"""What the command line shows: progress on stderr, tables and JSON on stdout."""

from __future__ import annotations

import atexit
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from medseg.core.progress import SILENT, Progress

ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)
_RESULTS = Console(highlight=False, soft_wrap=True)
_LONG = 60


class ConsoleProgress:
    """Draws the stages of a job as bars; plain lines where stderr is no terminal."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=ERRORS
        )
        self._task: TaskID | None = None

    def start(self, label: str, total: int) -> None:
        """Show the bar of a new stage."""
        if not ERRORS.is_terminal:
            ERRORS.print(f"{label} …", markup=False)
            return
        self._bars.start()
        atexit.register(self.finish)  # an error would leave the terminal without its cursor
        self._hide()
        self._task = self._bars.add_task(label, total=total)

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, steps)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        ERRORS.print(text, markup=False)

    def finish(self) -> None:
        """Take the bar away."""
        self._hide()
        self._bars.stop()

    def _hide(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, visible=False)
        self._task = None


def run_progress() -> Progress:
    """For a training: bars in the main process, nothing in the others that torchrun starts."""
    from medseg.training.distributed import is_main_process

    return ConsoleProgress() if is_main_process() else SILENT


def print_table(rows: Sequence[dict[str, Any]], title: str = "", *, as_json: bool = False) -> None:
    """Print rows of equal keys as a table, or as a JSON list."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    widths = []
    for name in rows[0]:
        longest = max(len(name), *(len(_shown(row[name])) for row in rows))
        widths.append(min(longest, _LONG))
        justify: JustifyMethod = "right" if all(_is_number(row[name]) for row in rows) else "left"
        table.add_column(name, overflow="fold", min_width=widths[-1], max_width=_LONG, justify=justify)
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    # A terminal that is narrower breaks the lines; columns cut into pieces could not be read at all.
    console = Console(highlight=False, width=max(sum(widths) + 2 * len(widths), len(title)))
    if title:  # a title of the table's own would be broken at its width
        console.print(title, style="table.title", markup=False)
    console.print(table)


def print_json(content: object) -> None:
    """Print strict JSON on stdout."""
    print(json.dumps(content, indent=1, default=str, allow_nan=False))


def print_line(text: str, *, as_json: bool = False) -> None:
    """Print one line on stdout; on stderr if stdout holds JSON."""
    (ERRORS if as_json else _RESULTS).print(text, markup=False)


def print_error(text: str) -> None:
    """Print one red line on stderr."""
    ERRORS.print(f"error: {text}", style="red", markup=False)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("[", "\\[")
