"""The command ``medseg compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import JsonFlag
from .console import ConsoleProgress, print_line, print_table


def compare(
    evaluations: Annotated[list[Path], typer.Argument(help="Folders that `medseg evaluate` wrote, one a model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of compare.json, compare.html.")] = Path(
        "comparison"
    ),
    score: Annotated[
        list[str] | None,
        typer.Option(help="Column of scores.csv to compare; may be repeated.", show_default="dice, hd95 and nsd"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare models on the same cases: differences with intervals, tests, ranking."""
    from medseg.evaluation.comparison_json import console_rows, difference_rows
    from medseg.pipelines.compare import CompareOptions
    from medseg.pipelines.compare import compare as run_compare

    options = CompareOptions(tuple(score)) if score else CompareOptions()
    found = run_compare(evaluations, output, options, ConsoleProgress())
    rows = difference_rows(found) if as_json else console_rows(found)
    print_table(rows, f"{len(found.cases)} cases of {found.patients} patients", as_json=as_json)
    print_line(f"report: {output / 'compare.html'}", as_json=as_json)
