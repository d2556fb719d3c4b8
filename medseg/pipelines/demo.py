"""``medseg demo``: the main job once through, on generated studies."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.config.load import load_profile
from medseg.core.errors import InputError
from medseg.core.files import atomic_file, write_text
from medseg.core.progress import SILENT, Progress
from medseg.core.pseudonyms import ProjectKey, load_key
from medseg.deid.names import SERIES, STUDY, name_of
from medseg.evaluation.result import Evaluation
from medseg.inference.settings import PredictionSettings
from medseg.io.studies import find_series
from medseg.phantom.studies import write_cohort

from .card import model_card
from .deidentify import DeidentifyOptions, deidentify
from .evaluate import evaluate
from .plan import PlanOptions, plan
from .predict import PredictOptions, predict
from .train import read_run_config, train

BUDGET = "150s"
_CASES = 24
_PROFILE = "research"
_MARK = ".medseg-demo"


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Where everything lies, and the scores of the cases that training never saw."""

    studies: Path
    deidentified: Path
    configuration: Path
    bundle: Path
    predictions: Path
    report: Path
    evaluation: Evaluation


def demo(output: Path, budget: str = BUDGET, cases: int = _CASES, progress: Progress = SILENT) -> DemoResult:
    """Write CT studies of invented patients, de-identify them, plan, train, predict the test cases, and score them.

    Args:
        output: Folder for all of it; must be new, empty or an earlier demo's, which is replaced.
        budget: Training time.
        cases: Studies to write.
        progress: Told how far it is.

    Raises:
        InputError: If the folder holds anything else.
        OutputError: If the folder cannot be written.
    """
    _claim(output)
    cohort = write_cohort(output / "studies", cases, progress=progress).parent
    released = _fresh(output / "deidentified")
    manifest = _deidentified(cohort, released, progress)
    configuration = output / "run.yaml"
    configuration.unlink(missing_ok=True)
    plan(manifest, configuration, PlanOptions(budget=budget), progress)
    run = _fresh(output / "run")
    result = train(read_run_config(configuration), run, progress=progress)
    test = _test_part(manifest)
    predictions = _fresh(output / "predictions")
    options = PredictOptions(PredictionSettings(entropy=True), preview=True)
    predict(result.bundle, [test], predictions, options, progress)
    evaluation = evaluate(predictions, test, output / "report", progress=progress)
    model_card(result.bundle, evaluation=output / "report")
    return DemoResult(cohort, released, configuration, result.bundle, predictions, output / "report", evaluation)


def _deidentified(cohort: Path, released: Path, progress: Progress) -> Path:
    """Manifest beside ``released`` of the cohort's cases, their images taken from there."""
    options = DeidentifyOptions(load_profile(_PROFILE), released.with_name("project.key"), workers=0)
    deidentify(cohort / "studies", released, options, progress)
    key = load_key(options.key, outside=released)
    with (cohort / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["image.CT"] = f"{released.name}/{_released_name(cohort / row['image.CT'], key)}"
        row["label"] = f"{cohort.name}/{row['label']}"
    write_text(released.with_name("labels.json"), (cohort / "labels.json").read_text(encoding="utf-8"))
    return _write_manifest(released.with_name("manifest.csv"), rows)


def _released_name(folder: Path, key: ProjectKey) -> str:
    """Where the series of a folder lies after its release."""
    (series,) = find_series(folder).series
    issuer, _, number = series.patient.partition("\0")
    study = name_of(key, STUDY, series.study_uid)
    return f"{key.patient(issuer, number)}/{study}/{name_of(key, SERIES, series.uid)}"


def _test_part(manifest: Path) -> Path:
    """A manifest beside the given one with the rows of its test cases only."""
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    return _write_manifest(manifest.with_name("test.csv"), rows)


def _write_manifest(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _claim(folder: Path) -> None:
    """Mark the folder as a demo's, whose content may be deleted; refuse one that may be somebody's work."""
    if folder.is_dir() and not (folder / _MARK).exists() and any(folder.iterdir()):
        raise InputError(f"{str(folder)!r} holds files that no demo wrote; name a new or an empty folder")
    write_text(folder / _MARK, "made by medseg demo, which replaces it\n")


def _fresh(folder: Path) -> Path:
    """The folder, without what an earlier demo left there."""
    if folder.exists():
        shutil.rmtree(folder)
    return folder
