"""``medseg evaluate``: predictions against references, as tables and a report."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import InputError
from medseg.core.files import atomic_file, write_text
from medseg.core.progress import SILENT, Progress
from medseg.evaluation.aggregate import summarise
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.pairs import Matching, match
from medseg.evaluation.report import report_page
from medseg.evaluation.result import CASE_COLUMNS, Evaluation, Settings
from medseg.evaluation.schemes import find_scheme, open_reference
from medseg.evaluation.scoring import Problem, Unscored, score_pairs
from medseg.evaluation.worst import worst_cases


@dataclass(frozen=True)
class EvaluateOptions:
    """What a user may choose.

    Attributes:
        labels: JSON file with the names of the label values; by default the data set's, or the one beside the files.
        tolerance: Distance that the NSD forgives, in mm (pixels where there is no spacing).
        bootstrap: How confidence intervals are made.
        workers: Processes that score; the result does not depend on it.
        worst: Cases of lowest Dice that the report draws.
    """

    labels: Path | None = None
    tolerance: float = 1.0
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    workers: int = 1
    worst: int = 6


def evaluate(
    predicted: Path,
    reference: Path,
    output: Path,
    options: EvaluateOptions | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Score predictions against references and write ``scores.csv``, ``scores.json`` and ``report.html``.

    Args:
        predicted: A label map, a folder of them, or what `medseg predict` wrote.
        reference: A data set, a folder of label maps of the same names, or one label map.
        output: Folder of the report; made if it does not exist.
        options: Names of structures, tolerance, intervals, workers.
        progress: Told of each case.

    Returns:
        The scores; a case that cannot be scored is in ``unscored`` with its reason.

    Raises:
        InputError: If a path does not exist, nothing matches, millimetres and pixels are mixed, or a worker dies.
        DataError: If a labels file or a data set is not sound.
        OutputError: If the report cannot be written.
    """
    options = options or EvaluateOptions()
    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file; the report needs a folder")
    references = open_reference(reference, options.labels)
    matching = match(predicted, references)
    scheme = find_scheme(options.labels, references, matching.pairs)
    outcomes = score_pairs(matching.pairs, scheme, options.tolerance, options.workers, progress)
    rows = tuple(row for outcome in outcomes if not isinstance(outcome, Unscored) for row in outcome)
    failed = tuple(outcome for outcome in outcomes if isinstance(outcome, Unscored))
    patients = {pair.case: pair.patient for pair in matching.pairs}
    evaluation = Evaluation(
        scheme,
        Settings(options.tolerance, options.bootstrap),
        rows,
        failed + _unmatched(matching),
        summarise(rows, patients, options.bootstrap),
        patients,
    )
    pictures = worst_cases(rows, matching.pairs, scheme, options.worst, progress)
    _write(output, evaluation, report_page(evaluation, pictures))
    _tell(evaluation, progress)
    progress.finish()
    return evaluation


def _unmatched(matching: Matching) -> tuple[Unscored, ...]:
    unknown = [Unscored(case, Problem.NO_REFERENCE, "no reference of this name") for case in matching.without_reference]
    missing = [Unscored(case, Problem.NO_PREDICTION, why) for case, why in matching.without_prediction.items()]
    return (*unknown, *missing)


def _tell(evaluation: Evaluation, progress: Progress) -> None:
    """Say what is in no mean: each failure, and how many cases lack a side."""
    for one in evaluation.unscored:
        if one.problem is Problem.FAILED:
            progress.note(f"{one.case}: {one.message}")
    for problem, words in (
        (Problem.NO_PREDICTION, "without a prediction"),
        (Problem.NO_REFERENCE, "without a reference"),
    ):
        count = sum(one.problem is problem for one in evaluation.unscored)
        if count:
            progress.note(f"{count} {'case' if count == 1 else 'cases'} {words}; in no mean, listed in scores.csv")


def _write(output: Path, evaluation: Evaluation, report: str) -> None:
    with atomic_file(output / "scores.csv") as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, CASE_COLUMNS)
        writer.writeheader()
        writer.writerows(evaluation.case_rows() + evaluation.unscored_rows())
    write_text(output / "scores.json", json.dumps(evaluation.to_json(), indent=1, allow_nan=False) + "\n")
    write_text(output / "report.html", report)
