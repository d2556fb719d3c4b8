"""The command ``medseg pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import JsonFlag, OverrideOption
from .console import print_line, print_table, run_progress


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
    from medseg.training.distributed import is_main_process

    resolved = read_run_config(config, override or [], budget)
    result = run_pretrain(resolved, output, resume=resume, progress=run_progress())
    if not is_main_process():
        return
    known = "never learned from" if result.is_held_out else "learned from, as none validate"
    print_table(result.rows(), f"images that it {known}", as_json=as_json)
    print_line(f"next: medseg train CONFIG -o RUN --init-from {result.pretrained}", as_json=as_json)
