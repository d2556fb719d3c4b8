"""``medseg evaluate``: predictions against references, as tables and a report."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import InputError
from medseg.core.files import atomic_file, write_text
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.evaluation.as_json import as_json, json_text
from medseg.evaluation.assemble import assemble
from medseg.evaluation.attributes import AuditOptions, gather_attributes
from medseg.evaluation.case_table import as_csv, as_parquet
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.measurements import as_csv as measurements_csv
from medseg.evaluation.measurements import check_images, measurement_rows
from medseg.evaluation.pairs import Matching, match
from medseg.evaluation.report import report_page
from medseg.evaluation.result import Evaluation
from medseg.evaluation.schemes import find_scheme, open_reference
from medseg.evaluation.scoring import Problem, score_pairs
from medseg.evaluation.settings import Settings
from medseg.evaluation.worst import worst_cases
from medseg.metrics.table import ScoreSettings

PARQUET = "scores.parquet"
MEASUREMENTS = "measurements.csv"
_NO_PARQUET = f"{PARQUET} is not written, for lack of pyarrow: pip install 'medseg[parquet]'"


@dataclass(frozen=True)
class EvaluateOptions:
    """What a user may choose.

    Attributes:
        labels: JSON file with the names of the label values; by default the data set's, or the one beside the files.
        scores: Tolerances of the NSD, width of rims, weight of recall, and which structures are thin.
        instances: Structures that come several times, such as lesions, which are counted as well.
        audit: Which subgroups of patients are looked at; by default the attributes of the data set's manifest.
        bootstrap: How confidence intervals are made.
        workers: Processes that score; the result does not depend on it.
        worst: Cases of lowest Dice that the report draws.
        measure: Whether size, shape and intensities of each structure are measured too, on both sides.
    """

    labels: Path | None = None
    scores: ScoreSettings = field(default_factory=ScoreSettings)
    instances: tuple[str, ...] = ()
    audit: AuditOptions = field(default_factory=AuditOptions)
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    workers: int = 1
    worst: int = 10
    measure: bool = False


def evaluate(
    predicted: Path,
    reference: Path,
    output: Path,
    options: EvaluateOptions | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Score predictions against references.

    Writes ``scores.csv``, ``scores.json``, ``report.html``, and ``scores.parquet`` where pyarrow is installed. Where
    probability maps lie beside the predictions, as `medseg predict --probabilities` writes them, calibration is
    measured too. With ``measure``, ``measurements.csv`` has a row for each case, side, structure and channel.

    Args:
        predicted: A label map, a folder of them, or what `medseg predict` wrote.
        reference: A data set, a folder of label maps of the same names, or one label map.
        output: Folder of the report; made if it does not exist.
        options: Names of structures, what is measured, intervals, workers.
        progress: Told of each case.

    Returns:
        The scores; a case that cannot be scored is in ``unscored`` with its reason.

    Raises:
        InputError: If a path does not exist, nothing matches, millimetres and pixels are mixed, a table of attributes
            does not fit, a worker dies, or measurements are asked for without images.
        DataError: If a labels file or a data set is not sound, or a structure is asked for that is not there.
        OutputError: If the report cannot be written.
    """
    options = options or EvaluateOptions()
    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file; the report needs a folder")
    references = open_reference(reference, options.labels)
    matching = match(predicted, references)
    scheme = find_scheme(options.labels, references, matching.pairs)
    return evaluate_pairs(matching, scheme, output, options, progress)


def evaluate_pairs(
    matching: Matching, scheme: LabelScheme, output: Path, options: EvaluateOptions, progress: Progress = SILENT
) -> Evaluation:
    """Score pairs that are known already; files and errors as ``evaluate``."""
    if options.measure:
        check_images(matching.pairs)
    settings = Settings(options.scores, options.instances, options.bootstrap)
    attributes = gather_attributes(matching.pairs, options.audit)
    outcomes = score_pairs(matching.pairs, scheme, settings, options.workers, progress)
    evaluation = assemble(matching, outcomes, scheme, settings, attributes)
    pictures = worst_cases(evaluation.rows, matching.pairs, scheme, options.worst, progress)
    _write(output, evaluation, report_page(evaluation, pictures), progress)
    if options.measure:
        rows = measurement_rows(matching.pairs, scheme, progress)
        _write_bytes(output / MEASUREMENTS, measurements_csv(rows).encode("utf-8"))
    else:
        (output / MEASUREMENTS).unlink(missing_ok=True)  # an older one would not fit the rest
    _tell(evaluation, progress)
    progress.finish()
    return evaluation


def _tell(evaluation: Evaluation, progress: Progress) -> None:
    """Say what is in no mean: each failure, and how many cases lack a side."""
    for one in evaluation.unscored:
        if one.problem is Problem.FAILED:
            progress.note(f"{one.case}: {one.message}")
        elif one.problem is Problem.NO_CALIBRATION:
            progress.note(f"{one.case}: no calibration, {one.message}")
    for problem, words in (
        (Problem.NO_PREDICTION, "without a prediction"),
        (Problem.NO_REFERENCE, "without a reference"),
    ):
        count = sum(one.problem is problem for one in evaluation.unscored)
        if count:
            progress.note(f"{count} {'case' if count == 1 else 'cases'} {words}; in no mean, listed in scores.csv")
    for name, why in evaluation.details.audit.left_out.items():
        progress.note(f"no subgroups by {name!r}: {why}")


def _write(output: Path, evaluation: Evaluation, report: str, progress: Progress) -> None:
    _write_bytes(output / "scores.csv", as_csv(evaluation).encode("utf-8"))
    write_text(output / "scores.json", json_text(as_json(evaluation)))
    write_text(output / "report.html", report)
    if importlib.util.find_spec("pyarrow") is None:
        (output / PARQUET).unlink(missing_ok=True)  # an older one would not fit the rest
        progress.note(_NO_PARQUET)
    else:
        _write_bytes(output / PARQUET, as_parquet(evaluation))


def _write_bytes(path: Path, content: bytes) -> None:
    with atomic_file(path) as partial:
        partial.write_bytes(content)
