"""The command ``medseg``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medseg.core.errors import MedsegError
from medseg.core.messages import route_logs

from .console import ConsoleProgress, print_error, print_line, print_table, show_report

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


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A data set, a folder of DICOM files, or one image.")],
    as_json: JsonFlag = False,
) -> None:
    """Show what is there, what is usable, and what is wrong with it."""
    from medseg.pipelines.inspect import inspect as run_inspect

    found = run_inspect(path, ConsoleProgress())
    print_table(found.rows(), found.title, as_json=as_json)
    raise typer.Exit(1 if found.has_errors else 0)


@app.command()
def evaluate(
    predicted: Annotated[Path, typer.Argument(help="Label maps: a folder, a file, or what `medseg predict` wrote.")],
    reference: Annotated[Path, typer.Argument(help="What is true: a data set, a folder or a file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of scores.csv, scores.json, report.html.")],
    labels: Annotated[Path | None, typer.Option(help="JSON that names the label values.")] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Distance that the NSD forgives, in mm.")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that score.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Score predictions against references."""
    from medseg.pipelines.evaluate import EvaluateOptions
    from medseg.pipelines.evaluate import evaluate as run_evaluate

    options = EvaluateOptions(labels, tolerance, workers=workers)
    found = run_evaluate(predicted, reference, output, options, ConsoleProgress())
    print_table(found.summary_rows(), f"{len(found.cases)} cases", as_json=as_json)
    show_report(output / "report.html", as_json=as_json)
    raise typer.Exit(1 if found.has_failures else 0)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("demo"),
    budget: Annotated[str, typer.Option(help="Training time.")] = "150s",
) -> None:
    """Do the whole job once, on generated CT studies of invented patients."""
    from medseg.pipelines.demo import demo as run_demo

    result = run_demo(output, budget, progress=ConsoleProgress())
    print_table(result.evaluation.summary_rows(), "test cases, which training never saw")
    for name in ("studies", "configuration", "bundle", "predictions"):
        print_line(f"{name:14}{getattr(result, name)}")
    show_report(result.report / "report.html")


def run() -> None:
    """Run the command line; what medseg can explain becomes one red line and exit code 2."""
    route_logs()
    try:
        app()
    except MedsegError as error:
        print_error(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        print_error("interrupted")
        sys.exit(130)
