"""The command ``medseg export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .arguments import JsonFlag
from .console import ConsoleProgress, print_line, print_table


class Form(StrEnum):
    """What a model can be exported as."""

    onnx = "onnx"
    openvino = "openvino"
    torch_export = "torch-export"
    monai_bundle = "monai-bundle"


def export(
    bundle: Annotated[Path, typer.Argument(help="Folder of the model, RUN/bundle.")],
    to: Annotated[Form, typer.Option("--to", help="What to write.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the result.", show_default="none")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="With --to openvino: compute in 8-bit integers.", show_default="off")
    ] = False,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(help="Data set: cases that trained calibrate int8, others judge.", show_default="noise judges"),
    ] = None,
    into_bundle: Annotated[
        bool,
        typer.Option("--into-bundle", help="With --int8: for `medseg predict --precision int8`.", show_default="off"),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a model for programs that do not have medseg, and say how far it agrees with torch."""
    from medseg.inference.export_forms import ExportForm
    from medseg.pipelines.export import ExportOptions
    from medseg.pipelines.export import export as run_export

    options = ExportOptions(ExportForm(to.value), int8, calibrate_on, into_bundle)
    made = run_export(bundle, output, options, ConsoleProgress())
    print_table(made.rows(), as_json=as_json)
    print_line(f"wrote {made.folder}", as_json=as_json)
