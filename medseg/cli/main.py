"""The command ``medseg``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from medseg.config.networks import NetworkChoice
from medseg.core.errors import MedsegError
from medseg.core.messages import route_logs

from .app import open_app
from .arguments import (
    Device,
    DeviceOption,
    DevicesOption,
    FillGapsFlag,
    InitOption,
    JsonFlag,
    KeyOption,
    MirrorOption,
    Precision,
    PrecisionOption,
    Runtime,
    RuntimeOption,
    SkipAirOption,
    StructuresOption,
    read_channels,
    read_names,
)
from .batch import batch
from .bench import bench
from .card import card
from .compare import compare
from .console import ConsoleProgress, print_error, print_line, print_table
from .convert import convert
from .deidentify import deidentify
from .evaluate import evaluate
from .export import export
from .import_model import import_model
from .listen import listen
from .pretrain import pretrain
from .review import review
from .train import train

app = typer.Typer(
    name="medseg",
    help="Segment medical images: DICOM or NIfTI in, measured outlines out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DIMS: dict[int | None, Literal[2, 3] | None] = {None: None, 2: 2, 3: 3}


@app.command()
def plan(
    dataset: Annotated[Path, typer.Argument(help="Data set: a folder, dataset.json or a manifest.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Configuration to write.")],
    dims: Annotated[
        int | None, typer.Option(min=2, max=3, help="2 for slices, 3 for volumes.", show_default="3; 2 for pictures")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Training time: 20min, 2h, 200ep.", show_default="1h on a CPU, 200ep on a GPU")
    ] = None,
    device: DeviceOption = Device.auto,
    split: Annotated[
        Path | None,
        typer.Option(
            help="JSON with lists train, validation, test of case ids; or folds, such as nnU-Net's splits_final.json.",
            show_default="drawn by patient",
        ),
    ] = None,
    network: Annotated[NetworkChoice, typer.Option(help="Which kind of network.")] = NetworkChoice.UNET,
    init_from: InitOption = None,
    localiser: Annotated[
        bool,
        typer.Option(
            "--localiser",
            help="Coarse to fine: a small network first finds the region to look at.",
            show_default="the whole image",
        ),
    ] = False,
) -> None:
    """Measure a data set and write a configuration that fits it, this device and the budget."""
    from medseg.pipelines.plan import PlanOptions
    from medseg.pipelines.plan import plan as run_plan

    options = PlanOptions(DIMS[dims], network, budget, device.value, split, init_from, localiser)
    made = run_plan(dataset, output, options, ConsoleProgress())
    for note in made.notes:
        print_line(note)
    print_line(f"wrote {output}; next: medseg train {output} -o RUN")


app.command()(train)


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
def predict(
    bundle: Annotated[Path, typer.Argument(help="Folder of the model, RUN/bundle.")],
    inputs: Annotated[
        list[Path] | None, typer.Argument(help="Images, DICOM folders, folders of either, manifests.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("predictions"),
    channel: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH for each channel of one image.", show_default="none")
    ] = None,
    device: DevicesOption = "auto",
    overlap: Annotated[float | None, typer.Option(help="Overlap of windows.", show_default="the model's")] = None,
    mirror: MirrorOption = None,
    runtime: RuntimeOption = Runtime.auto,
    precision: PrecisionOption = Precision.auto,
    structures: StructuresOption = None,
    skip_air: SkipAirOption = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write probabilities too.", show_default="off")
    ] = False,
    entropy: Annotated[
        bool, typer.Option("--entropy", help="Write a map of the entropy too.", show_default="off")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Draw a picture of each result.", show_default="off")
    ] = False,
    all_series: Annotated[
        bool, typer.Option("--all-series", help="Also series unlike the training's.", show_default="off")
    ] = False,
    fill_gaps: FillGapsFlag = False,
    key: KeyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Outline structures; results lie on the images' own grids."""
    from medseg.inference.settings import PredictionSettings
    from medseg.pipelines.predict import PredictOptions
    from medseg.pipelines.predict import predict as run_predict

    settings = PredictionSettings(
        device,
        precision.value,
        overlap,
        mirror,
        probabilities=probabilities,
        entropy=entropy,
        runtime=runtime.value,
        skip_air=skip_air,
        structures=read_names(structures or []),
    )
    options = PredictOptions(settings, read_channels(channel or []), all_series, fill_gaps, preview, key)
    done = run_predict(bundle, inputs or [], output, options, ConsoleProgress())
    print_table(done.rows(), as_json=as_json)
    raise typer.Exit(1 if done.failed else 0)


app.command()(pretrain)
app.command()(evaluate)
app.command()(compare)
app.command()(card)
app.command()(bench)
app.command()(batch)
app.command()(convert)
app.command()(export)
app.command("import")(import_model)
app.command()(listen)
app.command()(deidentify)
app.command("app")(open_app)
app.add_typer(review, name="review")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("demo"),
    budget: Annotated[str, typer.Option(help="Training time.")] = "150s",
    as_json: JsonFlag = False,
) -> None:
    """Do the whole job once, on generated CT studies of invented patients."""
    from medseg.pipelines.demo import demo as run_demo

    result = run_demo(output, budget, progress=ConsoleProgress())
    print_table(result.evaluation.summary_rows(), "test cases, which training never saw", as_json=as_json)
    for name in ("studies", "deidentified", "configuration", "bundle", "predictions"):
        print_line(f"{name:14}{getattr(result, name)}", as_json=as_json)
    print_line(f"report: {result.report / 'report.html'}", as_json=as_json)


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
