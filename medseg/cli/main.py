"""The command ``medseg``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import ConsoleProgress, print_line, print_table

app = typer.Typer(
    name="medseg",
    help="Segment medical images: DICOM or NIfTI in, measured outlines out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes CUDA, then MPS, then the CPU.")]


@app.command()
def plan(
    dataset: Annotated[Path, typer.Argument(help="Data set: a folder, dataset.json or a manifest.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Configuration to write.")],
    dims: Annotated[int, typer.Option(min=2, max=3, help="2 for slices, 3 for volumes.")] = 3,
    budget: Annotated[str | None, typer.Option(help="Training time: 20min, 2h, 200ep.")] = None,
    device: DeviceOption = Device.auto,
    split: Annotated[Path | None, typer.Option(help="JSON with lists train, validation, test of case ids.")] = None,
) -> None:
    """Measure a data set and write a configuration that fits it, this device and the budget."""
    from medseg.pipelines.plan import plan as run_plan

    made = run_plan(dataset, output, 2 if dims == 2 else 3, budget, device.value, split, ConsoleProgress())
    for note in made.notes:
        print_line(note)
    print_line(f"wrote {output}; next: medseg train {output} -o RUN")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Configuration, as `medseg plan` writes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; the model lies in RUN/bundle.")],
    budget: Annotated[str | None, typer.Option(help="Training time: 20min, 200ep; changes the schedule only.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this run stopped.")] = False,
    override: Annotated[list[str] | None, typer.Option("--set", help="key=value, may be repeated.")] = None,
) -> None:
    """Train a network and leave it as a bundle."""
    from medseg.pipelines.train import read_run_config
    from medseg.pipelines.train import train as run_train

    resolved = read_run_config(config, override or [], budget)
    result = run_train(resolved, output, resume=resume, progress=ConsoleProgress())
    print_table(result.rows(), "validation, on the images' own grids")
    print_line(f"the model lies in {result.bundle}; next: medseg predict {result.bundle} INPUT -o OUT")
