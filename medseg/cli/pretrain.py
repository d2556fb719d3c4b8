"""The command ``medseg pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import JsonFlag, OverrideOption
from .console import ConsoleProgress, print_line, print_table


def pretrain(
    config: Annotated[Path, typer.Argument(help="Configuration, as `medseg plan` writes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; weights lie in RUN/pretrained.")],
    budget: Annotated[
        str | None, typer.Option(help="Training time: 20min, 200ep.", show_default="the configuration's")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this run stopped.", show_default="off")] = False,
    override: OverrideOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Let a network fill in hidden parts of images, labelled or not, so that a training can start from it."""
    from medseg.pipelines.pretrain import pretrain as run_pretrain
    from medseg.pipelines.train import read_run_config

    resolved = read_run_config(config, override or [], budget)
    result = run_pretrain(resolved, output, resume=resume, progress=ConsoleProgress())
    print_table(result.rows(), "images that it never learned from", as_json=as_json)
    print_line(f"next: medseg train CONFIG -o RUN --init-from {result.pretrained}", as_json=as_json)
