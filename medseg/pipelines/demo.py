"""``medseg demo``: the main job once through, on generated studies."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from medseg.core.errors import InputError
from medseg.core.files import atomic_file, write_text
from medseg.core.progress import SILENT, Progress
from medseg.evaluation.result import Evaluation
from medseg.phantom.studies import write_cohort

from .evaluate import evaluate
from .plan import plan
from .predict import PredictOptions, predict
from .train import read_run_config, train

BUDGET = "150s"
_CASES = 24
_MARK = ".medseg-demo"


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Where everything lies, and the scores of the cases that training never saw."""

    studies: Path
    configuration: Path
    bundle: Path
    predictions: Path
    report: Path
    evaluation: Evaluation


def demo(output: Path, budget: str = BUDGET, cases: int = _CASES, progress: Progress = SILENT) -> DemoResult:
    """Write CT studies of invented patients, plan, train, predict the test cases, and score them.

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
    manifest = write_cohort(output / "studies", cases, progress=progress)
    configuration = output / "run.yaml"
    configuration.unlink(missing_ok=True)
    plan(manifest, configuration, budget=budget, progress=progress)
    run = _fresh(output / "run")
    result = train(read_run_config(configuration), run, progress=progress)
    test = _test_part(manifest)
    predictions = _fresh(output / "predictions")
    predict(result.bundle, [test], predictions, PredictOptions(preview=True), progress)
    evaluation = evaluate(predictions, test, output / "report", progress=progress)
    return DemoResult(manifest.parent, configuration, result.bundle, predictions, output / "report", evaluation)


def _test_part(manifest: Path) -> Path:
    """A manifest beside the given one with the rows of its test cases only."""
    with manifest.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        rows = [row for row in reader if row["split"] == "test"]
        columns = reader.fieldnames or []
    part = manifest.with_name("test.csv")
    with atomic_file(part) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return part


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
