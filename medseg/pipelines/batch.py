"""``medseg batch``: one model over whole folders of studies, to the end, with a row for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from medseg.batch.discover import Found, StudyFiles, find_studies
from medseg.batch.engine import Engine, Limits, ListedTasks, LocalEngine, Tasks
from medseg.batch.job import Job, TaskMaker
from medseg.batch.manifest import Manifest, open_manifest
from medseg.batch.outputs import Form, completed
from medseg.batch.overview import overview_page, summary_csv
from medseg.batch.ray import RayEngine
from medseg.batch.records import Status, StudyResult, StudyTask
from medseg.batch.select import Choice, Which, choose
from medseg.batch.watch import WatchedTasks, Watcher
from medseg.batch.work import STUDIES, Model, WorkSettings, model_digest, open_model, open_worker
from medseg.config.load import load_selection
from medseg.core.errors import InputError
from medseg.core.files import existing, write_text
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import load_key
from medseg.deid.names import SERIES, name_of
from medseg.inference.devices import DeviceName
from medseg.inference.predictor import PredictionSettings
from medseg.io.studies import sort_series

REPORT, TABLE = "report.html", "studies.csv"
_SECONDS_BETWEEN_LOOKS = 5.0


class EngineName(StrEnum):
    """What does the studies."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class BatchOptions:
    """What varies between runs.

    Attributes:
        forms: What is written of each result.
        prediction: How the model predicts.
        rules: YAML file with rules for series, instead of the bundle's.
        which: Whether the best series of a study is predicted, or every one that fits.
        any_size: Take series unlike the training images in size too.
        fill_gaps: Interpolate missing slices.
        key: File of the project key; None for the user's own.
        limits: Processes (0 for one a GPU, or one), studies in hand, time limit.
        engine: Where the work is done.
        cluster: Address of a Ray cluster; None starts one on this machine.
        retry: Try studies that failed in an earlier run again.
        report: Write ``report.html`` at the end.
    """

    forms: tuple[Form, ...] = (Form.SEG, Form.REPORT)
    prediction: PredictionSettings = field(default_factory=PredictionSettings)
    rules: Path | None = None
    which: Which = "best"
    any_size: bool = False
    fill_gaps: bool = False
    key: Path | None = None
    limits: Limits = field(default_factory=lambda: Limits(processes=0))
    engine: EngineName = EngineName.LOCAL
    cluster: str | None = None
    retry: bool = True
    report: bool = False


@dataclass(frozen=True)
class BatchRun:
    """What a run did.

    Attributes:
        counts: Studies by status, those of earlier runs among them.
        ended: How many studies came to an end in this run.
        seconds: How long that took, from the first study on.
        others: Files that are not DICOM.
        unreadable: Files that are empty or damaged.
    """

    counts: dict[Status, int]
    ended: int
    seconds: float
    others: int = 0
    unreadable: int = 0

    @property
    def has_failures(self) -> bool:
        """Whether a study has failed."""
        return bool(self.counts.get(Status.FAILED))

    def rows(self) -> list[dict[str, Any]]:
        """One row a status."""
        return [{"status": str(status), "studies": self.counts.get(status, 0)} for status in Status]


def batch(
    bundle: Path, folder: Path, output: Path, options: BatchOptions | None = None, progress: Progress = SILENT
) -> BatchRun:
    """Predict every study below a folder that a model fits.

    ``output`` gets ``manifest.sqlite`` (what became of each study), ``studies/<study>/<series>/`` (its results, under
    pseudonyms), ``studies.csv`` and, if wanted, ``report.html``. DICOM results carry the patient of their study, as the
    source does. A run that was killed goes on where it was when it is started again.

    Args:
        bundle: Folder of the model.
        folder: Folder of the studies, at any depth.
        output: Folder for the results; must not lie in ``folder``.
        options: What varies.
        progress: Told of each study, and of what failed or was skipped.

    Raises:
        BundleError: If the model cannot be read.
        InputError: If nothing is there, or the output belongs to another model or a run that is going on.
        OutputError: If the manifest cannot be written.
    """
    options = options or BatchOptions()
    with _begun(bundle, folder, output, options) as begun:
        found = find_studies(folder, begun.model.key, progress)
        _check_found(found, folder, progress)
        left = begun.job.left(begun.maker.task(study) for study in found.studies)
        progress.start("studies", len(left))
        ended, seconds = _run(begun, ListedTasks(left), progress)
        return _finished(begun, BatchRun({}, ended, seconds, found.others, found.unreadable))


def watch(
    bundle: Path,
    folder: Path,
    output: Path,
    options: BatchOptions,
    quiet_s: float,
    stop: threading.Event,
    progress: Progress = SILENT,
) -> BatchRun:
    """Predict studies as they arrive in a folder, each when its files have rested for ``quiet_s``, until stopped.

    As ``batch``. Studies that are there already are taken too.
    """
    with _begun(bundle, folder, output, options) as begun:
        watcher = Watcher(folder, begun.model.key, quiet_s)
        every_s = min(_SECONDS_BETWEEN_LOOKS, quiet_s / 2)
        tasks = WatchedTasks(watcher, begun.left, every_s, stop)
        progress.note(f"watching; a study is taken when its files have rested for {quiet_s:g} s; Ctrl-C ends it")
        ended, seconds = _run(begun, tasks, progress)
        return _finished(begun, BatchRun({}, ended, seconds))


def foresee(bundle: Path, folder: Path, options: BatchOptions, progress: Progress = SILENT) -> list[dict[str, Any]]:
    """What a batch would do: one row a series, with what it serves as or why it is left out; nothing is written.

    Raises:
        BundleError, InputError: As ``batch``.
    """
    model = open_model(_settings(bundle, Path(), options))
    found = find_studies(existing(folder), model.key, progress)
    _check_found(found, folder, progress)
    progress.start("choosing series", len(found.studies))
    rows: list[dict[str, Any]] = []
    for study in found.studies:
        rows.extend(_foreseen(study, model, options))
        progress.advance()
    progress.finish()
    return rows


def rule_rows(bundle: Path, options: BatchOptions) -> list[dict[str, str]]:
    """The rules by which series are chosen, one row a channel."""
    return open_model(_settings(bundle, Path(), options)).rules.rows()


def worker_count(device: DeviceName) -> int:
    """Processes where nobody said how many: one a GPU, else one, which uses all cores."""
    import torch

    return max(1, torch.cuda.device_count()) if device in ("auto", "cuda") else 1


@dataclass(frozen=True, eq=False)
class _Begun:
    """A batch that is going on."""

    job: Job
    maker: TaskMaker
    model: Model
    engine: Engine
    options: BatchOptions

    def left(self, studies: Any) -> list[StudyTask]:
        return self.job.left(self.maker.task(study) for study in studies)


@contextmanager
def _begun(bundle: Path, folder: Path, output: Path, options: BatchOptions) -> Iterator[_Begun]:
    if output.resolve().is_relative_to(existing(folder).resolve()):
        raise InputError("the output folder lies in the folder of the studies; results would be taken for studies")
    settings = _settings(bundle, output, options)
    model = open_model(settings)
    load_key(settings.key, outside=output)
    with open_manifest(output, model_digest(bundle)) as manifest:
        job = Job(output, manifest, options.retry)
        job.begin(settings)
        yield _Begun(job, TaskMaker.of(settings), model, _engine(settings, options), options)


def _settings(bundle: Path, output: Path, options: BatchOptions) -> WorkSettings:
    return WorkSettings(
        bundle=bundle.absolute(),
        output=output.absolute(),
        key=options.key.absolute() if options.key else None,
        forms=completed(options.forms),
        prediction=options.prediction,
        selection=load_selection(options.rules) if options.rules else None,
        any_size=options.any_size,
        which=options.which,
        fill_gaps=options.fill_gaps,
    )


def _engine(settings: WorkSettings, options: BatchOptions) -> Engine:
    if options.engine is EngineName.RAY:
        return RayEngine(partial(open_worker, settings, 1), options.limits, options.cluster)
    here = replace(options.limits, processes=options.limits.processes or worker_count(options.prediction.device))
    return LocalEngine(partial(open_worker, settings, here.processes), here)


def _check_found(found: Found, folder: Path, progress: Progress) -> None:
    if not found.studies:
        damaged = f" ({found.unreadable} empty or damaged files)" if found.unreadable else ""
        raise InputError(
            f"{str(folder)!r} holds no DICOM study{damaged}; for NIfTI, NRRD and pictures use `medseg predict`"
        )
    if found.unreadable:
        progress.note(f"{found.unreadable} files are empty or damaged; studies in whose folders they lie will fail")


def _foreseen(study: StudyFiles, model: Model, options: BatchOptions) -> Iterator[dict[str, Any]]:
    inventory = sort_series([Path(path) for path in study.paths], fill_gaps=options.fill_gaps)
    choice: Choice = choose(inventory.series, model.rules, options.which)
    for one in choice.considered:
        series = one.series
        spacing = " x ".join(f"{mm:.3g}" for mm in series.geometry.spacing) if series.geometry else ""
        yield {
            "study": study.name,
            "series": name_of(model.key, SERIES, series.uid),
            "modality": series.modality,
            "size": f"{series.columns} x {series.rows} x {series.frames}",
            "spacing mm": spacing,
            "taken as": ", ".join(one.channels),
            "why not": one.reason,
        }


def _run(begun: _Begun, tasks: Tasks, progress: Progress) -> tuple[int, float]:
    """How many studies ended, and how long it took."""
    started, ended = time.monotonic(), 0
    for result in begun.job.run(begun.engine, tasks):
        ended += 1
        progress.advance()
        _tell(result, progress)
    return ended, time.monotonic() - started


def _tell(result: StudyResult, progress: Progress) -> None:
    if result.status is not Status.DONE:
        progress.note(f"{result.name}: {result.status}, {result.reason}")
    elif result.flags:
        odd = [f"{one.target}: {flag}" for one in result.measured for flag in one.flags]
        progress.note(f"{result.name}: done, look at {'; '.join(odd)}")


def _finished(begun: _Begun, run: BatchRun) -> BatchRun:
    folder, manifest = begun.job.folder, begun.job.manifest
    targets = begun.model.bundle.scheme.targets
    write_text(folder / TABLE, summary_csv(manifest, targets))
    if begun.options.report:
        write_report(folder, manifest, begun.model)
    return BatchRun(manifest.counts(), run.ended, run.seconds, run.others, run.unreadable)


def write_report(folder: Path, manifest: Manifest, model: Model) -> None:
    """Write ``report.html`` of what the manifest holds."""
    colours = {one.name: one.colour for one in model.bundle.scheme.target_structures}
    text = overview_page(manifest, folder / STUDIES, colours, model.rules.facts.structures)
    write_text(folder / REPORT, text)
