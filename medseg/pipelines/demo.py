"""``medseg demo``: the main job once through, on generated studies."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from medseg.core.progress import SILENT, Progress
from medseg.data.layouts import open_dataset
from medseg.evaluation.result import Evaluation
from medseg.phantom.studies import write_cohort

from .evaluate import evaluate
from .plan import plan
from .predict import PredictOptions, predict
from .train import read_run_config, train

BUDGET = "150s"
_CASES = 24


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
        output: Folder for all of it; what an earlier demo left there is replaced.
        budget: Training time.
        cases: Studies to write.
        progress: Told how far it is.

    Raises:
        OutputError: If the folder cannot be written.
    """
    manifest = write_cohort(output / "studies", cases, progress=progress)
    configuration = output / "run.yaml"
    plan(manifest, configuration, budget=budget, progress=progress)
    run = _fresh(output / "run")
    result = train(read_run_config(configuration), run, progress=progress)
    dataset = open_dataset(manifest)
    test = [case for case in dataset.cases if case.split == "test"]
    options = PredictOptions(preview=True, key=output / "project.key")
    predict(result.bundle, [case.images["CT"].path for case in test], output / "predictions", options, progress)
    evaluation = evaluate(output / "predictions", manifest, output / "report", progress=progress)
    return DemoResult(
        manifest.parent, configuration, result.bundle, output / "predictions", output / "report", evaluation
    )


def _fresh(folder: Path) -> Path:
    """The folder, without what an earlier demo left there."""
    if folder.exists():
        shutil.rmtree(folder)
    return folder
