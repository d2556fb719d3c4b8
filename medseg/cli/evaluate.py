"""The command ``medseg evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from medseg.core.errors import InputError

from .arguments import JsonFlag
from .console import ConsoleProgress, print_line, print_table


def evaluate(
    predicted: Annotated[Path, typer.Argument(help="Label maps: a folder, a file, or what `medseg predict` wrote.")],
    reference: Annotated[Path, typer.Argument(help="What is true: a data set, a folder or a file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of scores.csv, scores.json, report.html.")],
    labels: Annotated[
        Path | None, typer.Option(help="JSON that names the label values.", show_default="the data set's")
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            help="Distance that the NSD forgives, in mm; NAME=MM for one structure; may be repeated.", show_default="1"
        ),
    ] = None,
    rim: Annotated[float, typer.Option(help="Width of the rims of the boundary IoU, in mm.")] = 2.0,
    beta: Annotated[float, typer.Option(help="How many times as much recall weighs in the F score.")] = 2.0,
    thin: Annotated[
        list[str] | None,
        typer.Option(help="Structure whose centre lines are compared (clDice); may be repeated.", show_default="none"),
    ] = None,
    instances: Annotated[
        list[str] | None,
        typer.Option(help="Structure whose parts are counted, such as lesions; may be repeated.", show_default="none"),
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(
            help="CSV of attributes by case or patient, for scores by subgroup.", show_default="the manifest's"
        ),
    ] = None,
    headers: Annotated[
        bool,
        typer.Option("--headers", help="Sex, age, scanner from DICOM headers as attributes too.", show_default="off"),
    ] = False,
    audit: Annotated[
        list[str] | None,
        typer.Option(help="Attribute to make subgroups of; may be repeated.", show_default="all"),
    ] = None,
    bands: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=20,40,60 parts an attribute of numbers; may be repeated.", show_default="age=20,40,60,80"
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Write measurements.csv too: size, shape, intensities of each structure, on both sides.",
            show_default="off",
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that score.")] = 1,
    worst: Annotated[int, typer.Option(min=0, help="Cases of lowest Dice that the report draws.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """Score predictions against references."""
    from medseg.evaluation.attributes import AuditOptions
    from medseg.metrics.table import ScoreSettings
    from medseg.pipelines.evaluate import EvaluateOptions
    from medseg.pipelines.evaluate import evaluate as run_evaluate

    overall, single = read_tolerances(tolerance or [])
    scores = ScoreSettings(overall, single, rim, beta, frozenset(thin or ()))
    groups = AuditOptions(attributes, headers, tuple(audit or ()), read_bands(bands or []))
    options = EvaluateOptions(
        labels, scores, tuple(instances or ()), groups, workers=workers, worst=worst, measure=measure
    )
    found = run_evaluate(predicted, reference, output, options, ConsoleProgress())
    print_table(found.summary_rows(), f"{len(found.cases)} cases", as_json=as_json)
    print_line(f"report: {output / 'report.html'}", as_json=as_json)
    raise typer.Exit(1 if found.has_failures else 0)


def read_tolerances(texts: Sequence[str]) -> tuple[float, dict[str, float]]:
    """The tolerance of all structures and those of single ones, from texts such as ``1.5`` and ``liver=3``.

    Raises:
        InputError: If a text is of neither form, or one structure comes twice.
    """
    overall: list[float] = []
    single: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if bool(equals) is not bool(name) or name in single or (overall and not name):
            raise InputError(f"--tolerance {text!r} is not of the form MM or NAME=MM, or comes twice")
        if name:
            single[name] = _number(number, "--tolerance", text)
        else:
            overall.append(_number(number, "--tolerance", text))
    return (overall or [1.0])[0], single


def read_bands(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Lower ends of the bands by attribute, from texts such as ``age=40,60``.

    Raises:
        InputError: If a text is not of that form.
    """
    bands = {}
    for text in texts:
        name, equals, numbers = text.rpartition("=")
        if not (equals and name):
            raise InputError(f"--bands {text!r} is not of the form NAME=NUMBER,NUMBER")
        bands[name] = tuple(_number(number, "--bands", text) for number in numbers.split(","))
    return bands


def _number(text: str, option: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option} {whole!r}: {text!r} is no number") from error
