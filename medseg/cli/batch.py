"""The command ``medseg batch``."""

from __future__ import annotations

import signal
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.config.durations import parse_duration
from medseg.core.errors import InputError

from .arguments import Device, DeviceOption, FormName, FormsOption, JsonFlag
from .console import ConsoleProgress, print_line, print_table

if TYPE_CHECKING:
    from medseg.pipelines.batch import BatchOptions, BatchRun


class WhichSeries(StrEnum):
    """Which fitting series of a study are predicted."""

    best = "best"
    all = "all"


class EngineChoice(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


def batch(
    bundle: Annotated[Path, typer.Argument(help="The model.")],
    folder: Annotated[Path, typer.Argument(help="Folder of DICOM studies, at any depth.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results.", show_default="none; required")
    ] = None,
    write: FormsOption = None,
    series: Annotated[
        WhichSeries, typer.Option(help="Predict the best fitting series of a study, or all that fit.")
    ] = WhichSeries.best,
    rules: Annotated[
        Path | None, typer.Option(help="YAML file of rules for series.", show_default="the model's")
    ] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Also series unlike the training's in size.", show_default="off")
    ] = False,
    fill_gaps: Annotated[
        bool, typer.Option("--fill-gaps", help="Interpolate missing slices.", show_default="off")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; write nothing.", show_default="off")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write report.html with pictures and outliers.", show_default="off")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what arrives in the folder.", show_default="off")
    ] = False,
    quiet: Annotated[str, typer.Option(help="With --watch: how long files have to rest.")] = "60s",
    retry: Annotated[bool, typer.Option("--retry/--no-retry", help="Try again what failed in an earlier run.")] = True,
    time_limit: Annotated[str, typer.Option(help="Longest time for one study.")] = "30min",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes with a model each.", show_default="one a GPU, or one")
    ] = None,
    engine: Annotated[EngineChoice, typer.Option(help="This machine, or a Ray cluster.")] = EngineChoice.local,
    cluster: Annotated[
        str | None, typer.Option(help="With --engine ray: address of the cluster.", show_default="one is started here")
    ] = None,
    device: DeviceOption = Device.auto,
    mirror: Annotated[
        bool | None, typer.Option(help="Average over mirrored images.", show_default="the model's")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="Project key that makes the pseudonyms.", show_default="~/.config/medseg/project.key"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Predict whole folders of DICOM studies; what was stopped goes on where it was."""
    from medseg.batch.engine import Limits
    from medseg.batch.outputs import Form
    from medseg.inference.predictor import PredictionSettings
    from medseg.pipelines.batch import BatchOptions, EngineName

    _check_choices(output, dry_run=dry_run, watch=watch)
    options = BatchOptions(
        forms=tuple(Form(one.value) for one in write or (FormName.seg, FormName.sr)),
        prediction=PredictionSettings(device.value, mirror=mirror),
        rules=rules,
        which=series.value,
        any_size=any_size,
        fill_gaps=fill_gaps,
        key=key,
        limits=Limits(workers or 0, seconds=parse_duration(time_limit)),
        engine=EngineName(engine.value),
        cluster=cluster,
        retry=retry,
        report=report,
    )
    if dry_run or output is None:
        _foresee(bundle, folder, options, as_json=as_json)
    elif watch:
        _watch((bundle, folder, output), options, parse_duration(quiet), as_json=as_json)
    else:
        from medseg.pipelines.batch import batch as run_batch

        _tell(run_batch(bundle, folder, output, options, ConsoleProgress()), output, options, as_json=as_json)


def _check_choices(output: Path | None, *, dry_run: bool, watch: bool) -> None:
    if output is None and not dry_run:
        raise InputError("name the folder for the results by -o; --dry-run shows what would be done without one")
    if dry_run and watch:
        raise InputError("--dry-run and --watch are two different jobs; give one of them")


def _foresee(bundle: Path, folder: Path, options: BatchOptions, *, as_json: bool) -> None:
    from medseg.pipelines.batch import foresee, rule_rows

    rows = foresee(bundle, folder, options, ConsoleProgress())
    if not as_json:
        print_table(rule_rows(bundle, options), "rules")
        print_line("")
    print_table(rows, "series", as_json=as_json)


def _watch(places: tuple[Path, Path, Path], options: BatchOptions, quiet_s: float, *, as_json: bool) -> None:
    from medseg.pipelines.batch import watch

    stop = stop_on_signals()
    _tell(watch(*places, options, quiet_s, stop, ConsoleProgress()), places[2], options, as_json=as_json)


def stop_on_signals() -> threading.Event:
    """An event that is set by Ctrl-C and by SIGTERM: studies in hand are ended, no more are begun."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _tell(run: BatchRun, output: Path, options: BatchOptions, *, as_json: bool) -> None:
    """One table, how fast it was, where to look; exit code 1 if any study has failed."""
    print_table(run.rows(), as_json=as_json)
    if run.ended:
        each = run.seconds / run.ended
        print_line(f"{run.ended} studies in {run.seconds:.0f} s, {each:.1f} s each", as_json=as_json)
    else:
        print_line("nothing was left to do", as_json=as_json)
    print_line(f"results: {output / 'studies'}, table: {output / 'studies.csv'}", as_json=as_json)
    if options.report:
        print_line(f"report: {output / 'report.html'}", as_json=as_json)
    raise typer.Exit(1 if run.has_failures else 0)
