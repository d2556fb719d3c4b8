"""``medseg batch``: one model over whole folders of studies, to the end, with a row for each."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from medseg.batch.discover import Found, StudyFiles, find_studies, study_name
from medseg.batch.engine import ListedTasks
from medseg.batch.fetch import WebTasks, web_study
from medseg.batch.select import choose
from medseg.batch.session import BatchOptions, BatchRun, open_session, work_settings
from medseg.batch.watch import WatchedTasks, Watcher
from medseg.batch.work import STUDIES, Model, damaged_files, open_model
from medseg.core.errors import InputError
from medseg.core.files import existing
from medseg.core.progress import SILENT, Progress
from medseg.deid.names import SERIES, name_of
from medseg.io.dicom_web import DicomWeb
from medseg.io.spool import open_spool
from medseg.io.studies import sort_series

SPOOL = "spool"
_SECONDS_BETWEEN_LOOKS = 5.0


def predict_studies(
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
    _check_apart(folder, output)
    with open_session(bundle, output, options or BatchOptions(), progress) as session:
        found = find_studies(folder, session.model.key, progress)
        _check_found(found, folder, progress)
        left = session.left(found.studies)
        progress.start("studies", len(left))
        run = session.run(ListedTasks(left))
        progress.finish()
        return replace(run, others=found.others, unreadable=found.unreadable)


def predict_web_studies(
    bundle: Path,
    server: DicomWeb,
    filters: Mapping[str, str],
    output: Path,
    options: BatchOptions | None = None,
    progress: Progress = SILENT,
) -> BatchRun:
    """Predict every study on a DICOMweb server that a model fits; else as ``predict_studies``.

    Studies are fetched one by one, a few ahead of their turn, and lie in ``output/spool`` as long as they are needed.

    Args:
        bundle: Folder of the model.
        server: Where the studies are.
        filters: Values by DICOM keyword that studies have to match.
        output: Folder for the results.
        options: What varies.
        progress: Told of each study.

    Raises:
        InputError: If no study matches; else as ``predict_studies``.
        ReadError: If the server does not answer.
        OutputError: As ``predict_studies``.
    """
    with open_session(bundle, output, options or BatchOptions(), progress) as session:
        studies = {study_name(session.model.key, study.uid): study for study in server.find_studies(filters)}
        if not studies:
            raise InputError("the server has no study that matches")
        left = session.left(web_study(server, study, name) for name, study in studies.items())
        progress.start("studies", len(left))
        with open_spool(output / SPOOL, session.model.key) as spool:
            tasks = WebTasks(server, spool, left, {name: study.uid for name, study in studies.items()})
            try:
                run = session.run(tasks)
            finally:
                tasks.close()
        progress.finish()
        return run


def watch_studies(
    bundle: Path,
    folder: Path,
    output: Path,
    options: BatchOptions,
    quiet_s: float,
    stop: threading.Event,
    progress: Progress = SILENT,
) -> BatchRun:
    """Predict studies as they arrive in a folder, each when its files have rested for ``quiet_s``, until stopped.

    As ``predict_studies``. Studies that are there already are taken too.
    """
    _check_apart(folder, output)
    with open_session(bundle, output, options, progress) as session:
        watcher = Watcher(folder, session.model.key, quiet_s)
        every_s = min(_SECONDS_BETWEEN_LOOKS, quiet_s / 2)
        progress.note(f"watching; a study is taken when its files have rested for {quiet_s:g} s; Ctrl-C ends it")
        return session.run(WatchedTasks(watcher, session.left, every_s, stop))


def foresee(bundle: Path, folder: Path, options: BatchOptions, progress: Progress = SILENT) -> list[dict[str, Any]]:
    """What a batch would do: one row a series, with what it serves as or why it is left out; nothing is written.

    Raises:
        BundleError, InputError: As ``predict_studies``.
    """
    model = open_model(work_settings(bundle, Path(), options))
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
    return open_model(work_settings(bundle, Path(), options)).rules.rows()


def _check_apart(folder: Path, output: Path) -> None:
    inputs, results = existing(folder).resolve(), output.resolve()
    if results.is_relative_to(inputs) or inputs.is_relative_to(results / STUDIES):
        raise InputError("results would come to lie among the studies, and be taken for such; name another folder")


def _check_found(found: Found, folder: Path, progress: Progress) -> None:
    if not found.studies:
        damaged = f" ({found.unreadable} files are empty, damaged or may not be read)" if found.unreadable else ""
        raise InputError(
            f"{str(folder)!r} holds no DICOM study{damaged}; for NIfTI, NRRD and pictures use `medseg predict`"
        )
    if found.unreadable:
        progress.note(
            f"{found.unreadable} files or folders are empty, damaged or may not be read; studies with such files "
            "beside theirs will fail, as slices may be missing"
        )


def _foreseen(study: StudyFiles, model: Model, options: BatchOptions) -> Iterator[dict[str, Any]]:
    inventory = sort_series([Path(path) for path in study.paths], fill_gaps=options.fill_gaps)
    choice = choose(inventory.series, model.rules, options.which)
    problem = study.problem or damaged_files(inventory)
    for one in choice.considered:
        series = one.series
        spacing = " x ".join(f"{mm:.3g}" for mm in series.geometry.spacing) if series.geometry else ""
        yield {
            "study": study.name,
            "series": name_of(model.key, SERIES, series.uid),
            "modality": series.modality,
            "size": f"{series.columns} x {series.rows} x {series.frames}",
            "spacing mm": spacing,
            "taken as": "" if problem else ", ".join(one.channels),
            "why not": problem or one.reason,
        }
