"""The command ``medseg listen``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.config.durations import parse_duration
from medseg.core.errors import InputError

from .arguments import (
    Device,
    DeviceOption,
    FormName,
    FormsOption,
    JsonFlag,
    KeyOption,
    RulesOption,
    SeriesOption,
    TimeLimitOption,
    WhichSeries,
)
from .batch import stop_on_signals, tell_run
from .console import ConsoleProgress

if TYPE_CHECKING:
    from medseg.io.dicom_net import Destination
    from medseg.io.dicom_web import DicomWeb

_GIB = 2**30


def listen(
    bundle: Annotated[Path, typer.Argument(help="The model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results, manifest and spool.")],
    ae_title: Annotated[str, typer.Option("--ae-title", help="Our application entity title.")] = "MEDSEG",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 11112,
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0 hears all networks.")] = "127.0.0.1",
    allow: Annotated[
        list[str] | None, typer.Option(help="AE title that may send; may be repeated.", show_default="nobody")
    ] = None,
    allow_any: Annotated[
        bool, typer.Option("--allow-any", help="Anybody may send who reaches the port.", show_default="off")
    ] = False,
    send_to: Annotated[
        str | None,
        typer.Option(help="Where results go: TITLE@HOST:PORT, or a DICOMweb URL.", show_default="nowhere"),
    ] = None,
    token: Annotated[
        Path | None,
        typer.Option(help="For a DICOMweb URL: file with an access token or user:password.", show_default="none"),
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS: our certificate, PEM.", show_default="no TLS")] = None,
    private_key: Annotated[Path | None, typer.Option(help="TLS: its private key, PEM.", show_default="none")] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            help="TLS: authorities that vouch for the others, PEM.", show_default="none; the system's for URLs"
        ),
    ] = None,
    quiet: Annotated[str, typer.Option(help="A study is complete when nothing came for so long.")] = "60s",
    spool: Annotated[
        Path | None, typer.Option(help="Folder of studies that are not done.", show_default="OUTPUT/spool")
    ] = None,
    spool_limit: Annotated[int, typer.Option(min=1, help="What may lie in the spool, in GiB.")] = 128,
    object_limit: Annotated[int, typer.Option(min=1, help="Largest object, in GiB.")] = 2,
    rate_limit: Annotated[int, typer.Option(min=1, help="Objects a minute from one caller.")] = 12_000,
    write: FormsOption = None,
    series: SeriesOption = WhichSeries.best,
    rules: RulesOption = None,
    time_limit: TimeLimitOption = "30min",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes with a model each.", show_default="one a GPU, or one")
    ] = None,
    device: DeviceOption = Device.auto,
    key: KeyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Be a DICOM node: outline each study that is sent here, and send the results back."""
    from medseg.batch.engine import Limits
    from medseg.batch.outputs import ResultForm
    from medseg.batch.session import BatchOptions
    from medseg.inference.settings import PredictionSettings
    from medseg.io.dicom_net import NodeLimits, NodeSettings, TlsFiles
    from medseg.pipelines.listen import ListenOptions
    from medseg.pipelines.listen import listen as run_listen

    _check_together(send_to, token, certificate, ca)
    tls = TlsFiles(certificate, private_key, ca) if certificate or private_key else None
    node_limits = NodeLimits(object_limit * _GIB, rate_limit)
    node = NodeSettings(ae_title, port, tuple(allow or ()), host, allow_any, tls, node_limits)
    back = _destination(send_to, ae_title, (token, certificate, private_key, ca)) if send_to else None
    options = ListenOptions(node, back, parse_duration(quiet), spool, spool_limit * _GIB)
    batch_options = BatchOptions(
        forms=tuple(ResultForm(one.value) for one in write or (FormName.seg, FormName.sr)),
        prediction=PredictionSettings(device.value),
        rules=rules,
        which=series.value,
        key=key,
        limits=Limits(workers or 0, seconds=parse_duration(time_limit)),
    )
    run = run_listen(bundle, output, options, batch_options, stop_on_signals(), ConsoleProgress())
    tell_run(run, output, batch_options, as_json=as_json)


def _check_together(send_to: str | None, token: Path | None, certificate: Path | None, ca: Path | None) -> None:
    """Refuse what would be ignored, which may be taken for safe.

    Raises:
        InputError: If authorities are named but no connection is encrypted, or a token that nobody asks for.
    """
    if ca is not None and certificate is None and send_to is None:
        raise InputError("--ca alone encrypts nothing; add --certificate and --private-key, or --send-to")
    if token is not None and not _is_url(send_to or ""):
        raise InputError("--token says nothing without --send-to URL; add it, or leave --token away")


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _destination(
    text: str, calling: str, files: tuple[Path | None, Path | None, Path | None, Path | None]
) -> Destination | DicomWeb:
    """The node or server that a text such as ``PACS@pacs.example:104`` names.

    Raises:
        InputError: If it names none.
    """
    from medseg.io.dicom_net import Destination, TlsFiles
    from medseg.io.dicom_web import DicomWeb
    from medseg.io.http_client import Server

    token, certificate, private_key, ca = files
    if _is_url(text):
        return DicomWeb(Server(text, token, ca))
    title, at, place = text.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not (title and at and host and colon and port.isdecimal()):
        raise InputError(f"--send-to {text!r} is neither of the form TITLE@HOST:PORT nor a URL")
    tls = TlsFiles(certificate, private_key, ca) if certificate or ca else None
    return Destination(host, int(port), title, calling, tls)
