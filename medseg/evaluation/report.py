"""The report: one HTML page with the means, the plots, the worst cases and what made them."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.metrics.surface import ASSD_DEFINITION, HD95_DEFINITION, MASD_DEFINITION, NSD_DEFINITION
from medseg.metrics.table import StructureScore
from medseg.render import page
from medseg.render.page import Cell, Html

from .aggregate import AVERAGING, FOREGROUND
from .figures import plots
from .report_details import details
from .report_means import means, words
from .result import Evaluation, interval_text, shown, versions
from .scoring import Problem
from .worst import WorstCase

_MOST_ROWS, _MOST_NAMED = 2000, 6
_WORDS = {
    Problem.FAILED: "that could not be scored; in no mean",
    Problem.NO_CALIBRATION: "whose probabilities could not be used; not in the calibration",
    Problem.NO_PREDICTION: "without a prediction; in no mean",
    Problem.NO_REFERENCE: "without a reference; in no mean",
}


def report_page(evaluation: Evaluation, worst: Sequence[WorstCase]) -> str:
    """The page as HTML text."""
    parts = _lead(evaluation) + _problems(evaluation)
    if evaluation.rows:
        parts += means(evaluation) + plots(evaluation) + details(evaluation)
        parts += _worst(evaluation, worst) + _cases(evaluation)
    return page.page("Segmentation scores", parts + _settings(evaluation))


def _lead(evaluation: Evaluation) -> list[Html]:
    if not evaluation.summaries:
        return [page.paragraph("No case could be scored.")]
    patients, cases = len({evaluation.patients[case] for case in evaluation.cases}), len(evaluation.cases)
    who = _count(cases, "case") + (f" of {_count(patients, 'patient')}" if patients < cases else "")
    overall = evaluation.summaries[-1]
    mean = overall.means["dice"]
    what = "mean foreground Dice" if overall.structure == FOREGROUND else f"mean Dice of {overall.structure}"
    interval = interval_text("dice", mean.interval)
    spread = f" ({_level(evaluation)} confidence interval {interval})" if interval else ""
    return [page.paragraph(f"{who}, {what} {shown('dice', mean.value)}{spread}.")]


def _problems(evaluation: Evaluation) -> list[Html]:
    parts = []
    for problem, what in _WORDS.items():
        mine = [one for one in evaluation.unscored if one.problem is problem]
        if mine:
            rows = [(one.case, one.message) for one in mine[:_MOST_ROWS]]
            table = page.table(("case", "why"), rows, text_columns=2)
            parts.append(page.folded(f"{_count(len(mine), 'case')} {what}", [table], is_warning=True))
    return parts


def _worst(evaluation: Evaluation, worst: Sequence[WorstCase]) -> list[Html]:
    if not worst:
        return []
    pictures = []
    for one in worst:
        rows = sorted(
            (row for row in evaluation.rows if row.case == one.case and row.dice < 1), key=lambda row: row.dice
        )
        lowest = ", ".join(f"{row.structure} {shown('dice', row.dice)}" for row in rows[:_MOST_NAMED])
        caption = f"{one.case}: mean Dice {shown('dice', one.dice)} ({lowest})" + (f"; {one.note}" if one.note else "")
        pictures.append(page.photograph(one.picture, caption))
    how = "By the mean Dice over structures, each plane where prediction and reference differ most."
    return [page.heading("The worst cases"), page.paragraph(how, muted=True), page.gallery(pictures)]


def _cases(evaluation: Evaluation) -> list[Html]:
    unit, volume = evaluation.unit.value, evaluation.volume_unit
    header = (
        "case",
        "structure",
        "status",
        "Dice",
        "IoU",
        f"HD95, {unit}",
        f"ASSD, {unit}",
        "NSD",
        f"predicted, {volume}",
        f"reference, {volume}",
    )
    rows = [_case_cells(row) for row in evaluation.rows[:_MOST_ROWS]]
    parts = [page.table(header, rows, text_columns=3)]
    if len(evaluation.rows) > _MOST_ROWS:
        parts.append(page.paragraph(f"{len(evaluation.rows) - _MOST_ROWS} more rows are in scores.csv.", muted=True))
    return [page.heading("All cases"), page.folded(f"{_count(len(evaluation.rows), 'row')}", parts)]


def _case_cells(row: StructureScore) -> list[Cell]:
    names = ("dice", "iou", "hd95", "assd", "nsd", "volume_predicted", "volume_reference")
    return [row.case, row.structure, words(row.status), *(shown(name, getattr(row, name)) for name in names)]


def _settings(evaluation: Evaluation) -> list[Html]:
    bootstrap = evaluation.settings.bootstrap
    methods = sorted({mean.interval.method.value for one in evaluation.summaries for mean in one.means.values()})
    rows = [
        ("HD95", HD95_DEFINITION),
        ("ASSD", ASSD_DEFINITION),
        ("MASD", MASD_DEFINITION),
        ("NSD", f"{NSD_DEFINITION}; tolerance {_tolerances(evaluation)}"),
        ("averaging", AVERAGING),
        (
            "intervals",
            f"{_level(evaluation)}, {bootstrap.resamples} resamples, seed {bootstrap.seed}; {', '.join(methods)}",
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]
    return [page.heading("Settings and definitions"), page.table(("", ""), rows, text_columns=2)]


def _tolerances(evaluation: Evaluation) -> str:
    scores, unit = evaluation.settings.scores, evaluation.unit.value
    single = [f"{value:g} {unit} of {target}" for target, value in scores.tolerances.items()]
    if set(scores.tolerances) >= set(evaluation.scheme.targets):
        return ", ".join(single)
    return ", ".join([f"{scores.tolerance:g} {unit}{' of the others' if single else ''}", *single])


def _level(evaluation: Evaluation) -> str:
    return f"{100 * evaluation.settings.bootstrap.level:g} %"


def _count(number_of: int, noun: str) -> str:
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"
