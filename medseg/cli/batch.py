"""The command ``medseg batch``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.config.durations import parse_duration
from medseg.core.errors import InputError

from .arguments import (
    AllFramesFlag,
    Device,
    DeviceOption,
    FillGapsFlag,
    FormName,
    FormsOption,
    JsonFlag,
    KeyOption,
    MirrorOption,
    Precision,
    PrecisionOption,
    RulesOption,
    Runtime,
    RuntimeOption,
    SeriesOption,
    SkipAirOption,
    StructuresOption,
    TimeLimitOption,
    WhichSeries,
    read_names,
)
from .console import ConsoleProgress, print_line, print_table

if TYPE_CHECKING:
    from medseg.batch.session import BatchOptions, BatchRun


class Origin(StrEnum):
    """Where studies are taken from."""

    folder = "folder"
    dicomweb = "dicomweb"


class EngineChoice(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


def batch(
    bundle: Annotated[Path, typer.Argument(help="The model.")],
    studies: Annotated[
        str, typer.Argument(help="Folder of DICOM studies, at any depth; with --from dicomweb the server's URL.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results.", show_default="none; required")
    ] = None,
    origin: Annotated[Origin, typer.Option("--from", help="Where the studies are.")] = Origin.folder,
    query: Annotated[
        list[str] | None,
        typer.Option(help="With --from dicomweb: KEYWORD=VALUE that studies match.", show_default="all studies"),
    ] = None,
    token: Annotated[
        Path | None,
        typer.Option(help="With --from dicomweb: file with an access token or user:password.", show_default="none"),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(help="With --from dicomweb: authorities for the server, PEM.", show_default="the system's"),
    ] = None,
    write: FormsOption = None,
    series: SeriesOption = WhichSeries.best,
    rules: RulesOption = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Also series unlike the training's in size.", show_default="off")
    ] = False,
    fill_gaps: FillGapsFlag = False,
    all_frames: AllFramesFlag = False,
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
    time_limit: TimeLimitOption = "30min",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes with a model each, on each machine.", show_default="one a GPU, or one"),
    ] = None,
    engine: Annotated[EngineChoice, typer.Option(help="This machine, or a Ray cluster.")] = EngineChoice.local,
    cluster: Annotated[
        str | None,
        typer.Option(help="With --engine ray: address of the cluster.", show_default="the one of this machine"),
    ] = None,
    device: DeviceOption = Device.auto,
    mirror: MirrorOption = None,
    runtime: RuntimeOption = Runtime.auto,
    precision: PrecisionOption = Precision.auto,
    structures: StructuresOption = None,
    skip_air: SkipAirOption = None,
    key: KeyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Predict whole folders of DICOM studies; what was stopped goes on where it was."""
    from medseg.batch.engine import Limits
    from medseg.batch.outputs import ResultForm
    from medseg.batch.session import BatchOptions, EngineName
    from medseg.inference.settings import PredictionSettings
    from medseg.io.dicom_web import DicomWeb
    from medseg.io.http_client import Server
    from medseg.pipelines.batch import predict_studies, predict_web_studies, watch_studies

    _check_choices(output, origin, dry_run=dry_run, watch=watch)
    web_only = (("--query", query), ("--token", token), ("--ca", ca))
    _check_company(web_only, "--from dicomweb", is_there=origin is Origin.dicomweb)
    _check_company((("--cluster", cluster),), "--engine ray", is_there=engine is EngineChoice.ray)
    options = BatchOptions(
        forms=tuple(ResultForm(one.value) for one in write or (FormName.seg, FormName.sr)),
        prediction=PredictionSettings(
            device.value,
            precision.value,
            mirror=mirror,
            runtime=runtime.value,
            skip_air=skip_air,
            structures=read_names(structures or []),
        ),
        rules=rules,
        which=series.value,
        any_size=any_size,
        fill_gaps=fill_gaps,
        all_frames=all_frames,
        key=key,
        limits=Limits(workers or 0, seconds=parse_duration(time_limit)),
        engine=EngineName(engine.value),
        cluster=cluster,
        retry=retry,
        report=report,
    )
    if dry_run or output is None:
        _foresee(bundle, Path(studies), options, as_json=as_json)
        return
    progress = ConsoleProgress()
    if origin is Origin.dicomweb:
        server, filters = DicomWeb(Server(studies, token, ca)), read_filters(query or [])
        run = predict_web_studies(bundle, server, filters, output, options, progress)
    elif watch:
        quiet_s, stop = parse_duration(quiet), stop_on_signals()
        run = watch_studies(bundle, Path(studies), output, options, quiet_s, stop, progress)
    else:
        run = predict_studies(bundle, Path(studies), output, options, progress)
    tell_run(run, output, options, as_json=as_json)


def read_filters(texts: Sequence[str]) -> dict[str, str]:
    """Values by DICOM keyword from texts such as ``StudyDate=20260101-``.

    Raises:
        InputError: If a text is not of that form.
    """
    filters: dict[str, str] = {}
    for text in texts:
        keyword, equals, value = text.partition("=")
        if not (keyword and equals and value):
            raise InputError(f"--query {text!r} is not of the form KEYWORD=VALUE")
        filters[keyword] = value
    return filters


def _check_choices(output: Path | None, origin: Origin, *, dry_run: bool, watch: bool) -> None:
    if output is None and not dry_run:
        raise InputError("name the folder for the results by -o; --dry-run shows what would be done without one")
    if dry_run and watch:
        raise InputError("--dry-run and --watch are two different jobs; give one of them")
    if origin is Origin.dicomweb and (dry_run or watch):
        raise InputError("--from dicomweb goes with neither --dry-run nor --watch, which look into a folder")


def _check_company(options: Sequence[tuple[str, object]], needed: str, *, is_there: bool) -> None:
    """Refuse options that say nothing without another one."""
    idle = [name for name, value in options if value]
    if idle and not is_there:
        raise InputError(f"{idle[0]} says nothing without {needed}; add it, or leave {idle[0]} away")


def _foresee(bundle: Path, folder: Path, options: BatchOptions, *, as_json: bool) -> None:
    from medseg.pipelines.batch import foresee, rule_rows

    rows = foresee(bundle, folder, options, ConsoleProgress())
    if not as_json:
        print_table(rule_rows(bundle, options), "rules")
        print_line("")
    print_table(rows, "series", as_json=as_json)


def stop_on_signals() -> threading.Event:
    """An event that is set by Ctrl-C and by SIGTERM: studies in hand are ended, no more are begun."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def tell_run(run: BatchRun, output: Path, options: BatchOptions, *, as_json: bool) -> None:
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
