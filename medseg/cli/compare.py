"""The command ``medseg compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.core.errors import InputError

from .arguments import JsonFlag
from .console import ConsoleProgress, print_line, print_table

if TYPE_CHECKING:
    from medseg.pipelines.compare import CompareOptions


def compare(
    evaluations: Annotated[
        list[Path],
        typer.Argument(help="Folders that `medseg evaluate` wrote, one a model; or runs of `medseg train --folds`."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of compare.json, compare.html.")] = Path(
        "comparison"
    ),
    score: Annotated[
        list[str] | None,
        typer.Option(help="Column of scores.csv to compare; may be repeated.", show_default="dice, hd95 and nsd"),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Of runs: new folder for the model of the best.", show_default="none")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Of runs: where the data set lies now.", show_default="where the first run had it"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare models on the same cases: differences with intervals, tests, ranking; of runs, choose the best."""
    from medseg.evaluation.comparison_json import console_rows, difference_rows
    from medseg.pipelines.compare import CompareOptions, are_runs
    from medseg.pipelines.compare import compare as run_compare

    options = CompareOptions(tuple(score)) if score else CompareOptions()
    if are_runs(evaluations):
        _select(evaluations, output, options, (bundle, data), as_json=as_json)
        return
    if bundle is not None or data is not None:
        raise InputError("--bundle and --data are for runs of `medseg train --folds`; these are evaluations")
    found = run_compare(evaluations, output, options, ConsoleProgress())
    rows = difference_rows(found) if as_json else console_rows(found)
    print_table(rows, f"{len(found.cases)} cases of {found.patients} patients", as_json=as_json)
    print_line(f"report: {output / 'compare.html'}", as_json=as_json)


def _select(
    runs: list[Path], output: Path, options: CompareOptions, paths: tuple[Path | None, Path | None], *, as_json: bool
) -> None:
    from medseg.pipelines.select import compare_runs

    bundle, data = paths
    found = compare_runs(runs, output, options, bundle, data, ConsoleProgress())
    cases, patients = len(found.comparison.cases), found.comparison.patients
    print_table(found.rows(), f"out of fold, {cases} cases of {patients} patients", as_json=as_json)
    print_line(found.verdict(), as_json=as_json)
    print_line(f"report: {output / 'compare.html'}", as_json=as_json)
    if bundle is not None:
        print_line(f"the model of {found.best.name} lies in {bundle}", as_json=as_json)
