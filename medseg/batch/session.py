"""A run of a batch: what the user wants of it, its manifest, its engine, and what is left of it at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import torch

from medseg.config.load import load_selection
from medseg.core.files import write_text
from medseg.core.progress import Progress
from medseg.core.pseudonyms import load_key
from medseg.inference.settings import PredictionSettings

from .discover import StudyFiles, study_in
from .elsewhere import Elsewhere
from .engine import Engine, Limits, LocalEngine, Tasks
from .job import Job, TaskMaker
from .manifest import open_manifest
from .outputs import ResultForm, completed
from .overview import overview_page, summary_csv
from .ray import RayEngine
from .records import Status, StudyResult, StudyTask
from .select import Which
from .work import STUDIES, Model, WorkSettings, model_digest, open_model, open_worker

REPORT, TABLE = "report.html", "studies.csv"
_MOST_TOLD = 2


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
        all_frames: Give DICOM segmentations a frame for every slice.
        key: File of the project key; None for the user's own.
        limits: Processes of a machine (0 for one a GPU, or one), studies in hand, time limit.
        engine: Where the work is done.
        cluster: Address of a Ray cluster; None for the one that this machine is part of.
        retry: Try studies that failed in an earlier run again.
        report: Write ``report.html`` at the end.
        keeps_done: Keep what was done of a study when a later round of it is skipped or fails.
    """

    forms: tuple[ResultForm, ...] = (ResultForm.SEG, ResultForm.REPORT)
    prediction: PredictionSettings = field(default_factory=PredictionSettings)
    rules: Path | None = None
    which: Which = "best"
    any_size: bool = False
    fill_gaps: bool = False
    all_frames: bool = False
    key: Path | None = None
    limits: Limits = field(default_factory=lambda: Limits(processes=0))
    engine: EngineName = EngineName.LOCAL
    cluster: str | None = None
    retry: bool = True
    report: bool = False
    keeps_done: bool = False


@dataclass(frozen=True)
class BatchRun:
    """What a run did.

    Attributes:
        counts: Studies by status, those of earlier runs among them.
        ended: How many studies came to an end in this run.
        seconds: How long that took, from the first study on.
        others: Files that are not DICOM.
        unreadable: Files and folders that are empty, damaged or may not be read.
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


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is going on.

    Attributes:
        job: The batch in its folder.
        maker: Makes its tasks.
        model: What names and judges results.
        engine: Does the work.
        options: What varies.
        progress: Told of each study.
    """

    job: Job
    maker: TaskMaker
    model: Model
    engine: Engine
    options: BatchOptions
    progress: Progress = field(repr=False)

    def left(self, studies: Iterable[StudyFiles]) -> list[StudyTask]:
        """The tasks of those studies that are still to be done."""
        return self.job.left(self.maker.task(study) for study in studies)

    def task_in(self, folder: Path) -> tuple[StudyTask, bool]:
        """The task of the study that lies in a folder of a spool, and whether it is still to be done."""
        task = self.maker.task(study_in(folder))
        return task, bool(self.job.left([task]))

    def run(self, tasks: Tasks) -> BatchRun:
        """Do all tasks; then write the table and, if wanted, the report."""
        started, ended = time.monotonic(), 0
        for result in self.job.run(self.engine, tasks):
            ended += 1
            self.progress.advance()
            _tell(result, self.progress)
        seconds = time.monotonic() - started
        self._write_summary()
        return BatchRun(self.job.manifest.counts(), ended, seconds)

    def _write_summary(self) -> None:
        folder, manifest = self.job.folder, self.job.manifest
        scheme = self.model.bundle.scheme.only(self.options.prediction.structures)
        write_text(folder / TABLE, summary_csv(manifest, scheme.targets))
        if self.options.report:
            colours = {one.name: one.colour for one in scheme.target_structures}
            text = overview_page(manifest, folder / STUDIES, colours, self.model.rules.facts.structures)
            write_text(folder / REPORT, text)


@contextmanager
def open_session(bundle: Path, output: Path, options: BatchOptions, progress: Progress) -> Iterator[Session]:
    """A run in the folder ``output``, which nobody else may use as long as it goes on.

    Raises:
        BundleError: If the model cannot be read.
        InputError: If the output belongs to another model or a run that is going on, or holds the key.
        OutputError: If it cannot be written to.
    """
    settings = work_settings(bundle, output, options)
    load_key(settings.key, outside=output)
    model = open_model(settings)
    with open_manifest(output, f"{model_digest(bundle)} {model.key.fingerprint}") as manifest:
        job = Job(output, manifest, options.retry, options.keeps_done)
        job.begin(settings)
        yield Session(job, TaskMaker.of(settings), model, _engine(settings, model, options), options, progress)


def work_settings(bundle: Path, output: Path, options: BatchOptions) -> WorkSettings:
    """What is done to each study."""
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
        all_frames=options.all_frames,
    )


def _engine(settings: WorkSettings, model: Model, options: BatchOptions) -> Engine:
    if options.engine is EngineName.RAY:
        gpus = options.prediction.device in ("auto", "cuda")
        return RayEngine(Elsewhere.of(settings, model), options.limits, options.cluster, gpus=gpus)
    here = replace(options.limits, processes=options.limits.processes or worker_count(options.prediction.device))
    return LocalEngine(partial(open_worker, settings, here.processes), here)


def worker_count(device: str) -> int:
    """Processes where nobody said how many: one a GPU, else one, which uses all cores."""
    return max(1, torch.cuda.device_count()) if device in ("auto", "cuda") else 1


def _tell(result: StudyResult, progress: Progress) -> None:
    if result.status is not Status.DONE:
        progress.note(f"{result.name}: {result.status}, {result.reason}")
    elif result.flags:
        odd = [f"{one.target}: {flag}" for one in result.measured for flag in one.flags]
        more = f"; and {len(odd) - _MOST_TOLD} more" if len(odd) > _MOST_TOLD else ""
        progress.note(f"{result.name}: done, look at {'; '.join(odd[:_MOST_TOLD])}{more}")
