"""``medseg compare``: evaluations of several models on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import InputError
from medseg.core.files import existing, write_text
from medseg.core.progress import SILENT, Progress
from medseg.data.folds import FOLDS_FILE, OUT_OF_FOLD
from medseg.evaluation.as_json import json_text
from medseg.evaluation.comparison import DEFAULT_SCORES, Comparison, check_scores, compare_models
from medseg.evaluation.comparison_json import comparison_json
from medseg.evaluation.comparison_report import comparison_page
from medseg.evaluation.intervals import Bootstrap
from medseg.evaluation.scores_file import read_scores


@dataclass(frozen=True)
class CompareOptions:
    """What a user may choose.

    Attributes:
        scores: Which scores are compared: names of columns of ``scores.csv``. The more they are, the more p values
            are corrected.
        bootstrap: How intervals and tests are made.
    """

    scores: tuple[str, ...] = DEFAULT_SCORES
    bootstrap: Bootstrap = field(default_factory=Bootstrap)


def compare(
    evaluations: Sequence[Path],
    output: Path,
    options: CompareOptions | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Compare models by the scores of the cases that they share, and write ``compare.json`` and ``compare.html``.

    Args:
        evaluations: Folders that ``evaluate`` wrote, one a model, two or more.
        output: Folder for the comparison; made if it does not exist.
        options: Scores, intervals.
        progress: Told how far it is.

    Returns:
        Differences by pair, structure and score; a ranking if there are three models or more.

    Raises:
        InputError: If there are fewer than two, one holds no scores, or they cannot be compared: other settings,
            structures, references or patients, or no case in common.
        ReadError: If a file of scores is not sound.
        OutputError: If the comparison cannot be written.
    """
    options = options or CompareOptions()
    if len(evaluations) < 2:
        raise InputError("a comparison needs two evaluations or more; name the folders that `medseg evaluate` wrote")
    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file; the comparison needs a folder")
    check_scores(options.scores)
    names = model_names(evaluations)
    progress.start("reading", len(names))
    models = []
    for path, name in zip(evaluations, names, strict=True):
        models.append(read_scores(path, name))
        progress.advance()
    progress.start("comparing", 1)
    found = compare_models(models, options.scores, options.bootstrap)
    write_comparison(found, output)
    for name, cases in found.lacking.items():
        if cases:
            count = f"{len(cases)} {'case' if len(cases) == 1 else 'cases'}"
            progress.note(f"{name}: {count} without scores, which are in no comparison with it")
    progress.finish()
    return found


def write_comparison(found: Comparison, output: Path) -> None:
    """Write ``compare.json`` and ``compare.html``.

    Raises:
        OutputError: If they cannot be written.
    """
    write_text(output / "compare.json", json_text(comparison_json(found)))
    write_text(output / "compare.html", comparison_page(found))


def are_runs(paths: Sequence[Path]) -> bool:
    """Whether these are cross-validations rather than evaluations.

    Raises:
        InputError: If only some of them are.
    """
    folds = [path for path in paths if (existing(path) / FOLDS_FILE).is_file()]
    if folds and len(folds) < len(paths):
        other = next(path for path in paths if path not in folds)
        raise InputError(
            f"{str(folds[0])!r} is a cross-validation, {str(other)!r} is none; name {str(folds[0] / OUT_OF_FOLD)!r} to "
            "compare it as an evaluation"
        )
    return bool(folds)


def model_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """A short name for each: what tells the paths apart, without what they end on alike, such as ``report``.

    Raises:
        InputError: If one path comes twice.
    """
    parts = [list(path.parts) or ["."] for path in paths]
    while all(len(one) > 1 for one in parts) and len({one[-1] for one in parts}) == 1:
        parts = [one[:-1] for one in parts]
    for length in range(1, max(map(len, parts)) + 1):
        names = tuple("/".join(one[-length:]) for one in parts)
        if len(set(names)) == len(names):
            return names
    raise InputError("one evaluation is named twice; name a folder for each model")
