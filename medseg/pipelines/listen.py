"""``medseg listen``: a DICOM node that outlines what it is sent, and sends the results back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from medseg.batch.listen import Deliver, Return, SpooledTasks
from medseg.batch.session import BatchOptions, BatchRun, open_session
from medseg.batch.work import STUDIES
from medseg.core.progress import SILENT, Progress
from medseg.io.dicom_net import Destination, NodeSettings, echo, receiving, send_objects
from medseg.io.dicom_web import DicomWeb
from medseg.io.spool import open_spool

from .batch import SPOOL

FAILED = "failed"


@dataclass(frozen=True)
class ListenOptions:
    """How studies come and results go.

    Attributes:
        node: Title, port, callers, TLS and limits.
        back: Where results are sent: a DICOM node or a DICOMweb server; None keeps them in the output folder only.
        quiet_s: A study is complete when nothing has come for it for so long.
        spool: Folder of studies that are not done; by default ``spool`` in the output folder.
        spool_bytes: What may lie there.
    """

    node: NodeSettings
    back: Destination | DicomWeb | None = None
    quiet_s: float = 60.0
    spool: Path | None = None
    spool_bytes: int = 2**37


def listen(
    bundle: Path,
    output: Path,
    options: ListenOptions,
    batch_options: BatchOptions,
    stop: threading.Event,
    progress: Progress = SILENT,
) -> BatchRun:
    """Receive studies, predict each when it is complete, and send the results back, until stopped.

    ``output`` is as ``batch`` leaves it; besides, ``spool`` holds what has come and is not done, and ``failed`` the
    objects of studies that failed. Results refer to the patient and study of what came, so that the sender files them
    with it.

    Args:
        bundle: Folder of the model.
        output: Folder for results and manifest.
        options: Node, destination, quiet time.
        batch_options: As of ``batch``.
        stop: Set to end: what is in hand stays in the spool, and comes again.
        progress: Told of each study.

    Raises:
        BundleError: If the model cannot be read.
        InputError: If the port is taken, nobody may send, a certificate cannot be read, or another run has the folder.
        OutputError: If the manifest or the spool cannot be written.
    """
    with (
        open_session(bundle, output, replace(batch_options, keeps_done=True), progress) as session,
        open_spool(options.spool or output / SPOOL, session.model.key, options.spool_bytes) as spool,
        receiving(options.node, spool) as node,
    ):
        _greet(options, node.port, progress)
        back = Return(_deliver(options.back), output / STUDIES, output / FAILED, progress)
        tasks = SpooledTasks(spool, options.quiet_s, session.task_in, back, stop)
        try:
            return session.run(tasks)
        finally:
            tasks.close()


def _deliver(back: Destination | DicomWeb | None) -> Deliver | None:
    match back:
        case None:
            return None
        case Destination():
            return partial(send_objects, destination=back)
        case DicomWeb():
            return back.store


def _greet(options: ListenOptions, port: int, progress: Progress) -> None:
    """Say where we listen, and whether results can be sent at present."""
    node = options.node
    callers = "anybody" if node.allow_any else ", ".join(node.allowed)
    tls = " with TLS" if node.tls else ""
    progress.note(f"{node.ae_title} listens on {node.host}:{port}{tls} to {callers}; Ctrl-C ends it")
    problem = echo(options.back) if isinstance(options.back, Destination) else None
    if problem:
        progress.note(f"results cannot be sent at present: {problem}")
