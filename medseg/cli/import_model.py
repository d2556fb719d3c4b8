"""The command ``medseg import``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import ConsoleProgress, print_line


class CheckpointName(StrEnum):
    """Which of a fold's checkpoints."""

    final = "final"
    best = "best"


def import_model(
    source: Annotated[
        Path,
        typer.Argument(help="Model folder of nnU-Net v2, a folder that holds some, or the zip of an export."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the bundle.")],
    configuration: Annotated[
        str | None,
        typer.Option(help="Which trained configuration, such as 3d_fullres.", show_default="the only one"),
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="Only these folds, such as 0,1 or all.", show_default="all that are there")
    ] = None,
    checkpoint: Annotated[CheckpointName, typer.Option(help="Which checkpoint of a fold.")] = CheckpointName.final,
    orientation: Annotated[
        str | None,
        typer.Option(
            help="Where the axes of the training files point, such as LPS; stored takes every file as it lies.",
            show_default="told by the model, or stored",
        ),
    ] = None,
    postprocessing: Annotated[
        Path | None, typer.Option(help="A postprocessing.json that lies elsewhere.", show_default="the model's")
    ] = None,
) -> None:
    """Take over a model that nnU-Net trained; no code in it is run."""
    from medseg.pipelines.import_model import ImportOptions
    from medseg.pipelines.import_model import import_model as run_import

    folds = None if fold is None else tuple(part.strip() for part in fold.split(","))
    options = ImportOptions(configuration, folds, checkpoint.value, orientation, postprocessing)
    done = run_import(source, output, options, ConsoleProgress())
    for note in done.notes:
        print_line(note)
    print_line(f"the model lies in {output}; next: medseg predict {output} INPUT -o OUT")
