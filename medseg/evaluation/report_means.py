"""The tables of means in the report."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.metrics.empties import Status
from medseg.render import page
from medseg.render.page import Cell, Html

from .aggregate import FOREGROUND, Summary
from .result import Evaluation, mean_cell, shown
from .score_names import CENTRE_LINE, DISTANCES, OVERLAPS, SCORES, SURFACES, VOLUMES, ScoreName

_LACKING = (Status.MISSED, Status.FALSE_POSITIVE, Status.BOTH_EMPTY)
_LEADING = ("dice", "hd95", "nsd", "precision", "recall")
_WITH_INTERVAL = ("dice", "hd95", "nsd")


def means(evaluation: Evaluation) -> list[Html]:
    """The few scores that are read first, volumes, and all others folded."""
    return [
        page.heading("Means"),
        _leading(evaluation),
        _volumes(evaluation),
        page.paragraph(_reading(evaluation), muted=True),
        page.folded("all scores, with intervals and medians", _all(evaluation)),
    ]


def _leading(evaluation: Evaluation) -> Html:
    header = ("", "cases", *(_title(evaluation, name) for name in _LEADING), *(words(one) for one in _LACKING))
    rows: list[list[Cell]] = [
        [
            one.structure,
            str(one.means["dice"].cases),
            *(mean_cell(name, one.means.get(name), with_interval=name in _WITH_INTERVAL) for name in _LEADING),
            *_states(one),
        ]
        for one in evaluation.summaries
    ]
    return page.table(header, rows)


def _volumes(evaluation: Evaluation) -> Html:
    header = ("volume", *(f"{one.title}, {evaluation.volume_unit}" for one in VOLUMES))
    rows: list[list[Cell]] = [
        [
            one.structure,
            *(
                mean_cell(score.field, one.means[score.field], with_interval=score.field == "volume_difference")
                for score in VOLUMES
            ),
        ]
        for one in evaluation.summaries
        if one.structure != FOREGROUND
    ]
    return page.table(header, rows)


def _all(evaluation: Evaluation) -> list[Html]:
    """Tables of a few columns each, so that intervals have room."""
    is_thin = any(CENTRE_LINE in one.means for one in evaluation.summaries)
    surfaces = [one for one in SURFACES if is_thin or one.field != CENTRE_LINE]
    tables = [_table(evaluation, part) for part in (OVERLAPS[:5], OVERLAPS[5:], DISTANCES, surfaces)]
    medians = [_medians(evaluation, part) for part in (OVERLAPS, [*DISTANCES, *surfaces])]
    return [*tables, page.paragraph("Medians of the patients", muted=True), *medians]


def _table(evaluation: Evaluation, scores: Sequence[ScoreName]) -> Html:
    header = ("", *(_title(evaluation, one.field) for one in scores))
    rows: list[list[Cell]] = [
        [one.structure, *(mean_cell(score.field, one.means.get(score.field)) for score in scores)]
        for one in evaluation.summaries
    ]
    return page.table(header, rows)


def _medians(evaluation: Evaluation, scores: Sequence[ScoreName]) -> Html:
    header = ("", *(_title(evaluation, one.field) for one in scores))
    rows: list[list[Cell]] = [
        [one.structure, *(_median(one, score.field) for score in scores)] for one in evaluation.summaries
    ]
    return page.table(header, rows)


def _median(summary: Summary, name: str) -> str:
    return shown(name, summary.means[name].median) if name in summary.means else "\N{EN DASH}"


def _title(evaluation: Evaluation, name: str) -> str:
    unit, scores, score = evaluation.unit.value, evaluation.settings.scores, SCORES[name]
    if score in DISTANCES:
        return f"{score.title}, {unit}"
    match name:
        case "nsd":
            return f"NSD at {scores.tolerance:g} {unit}" if not scores.tolerances else "NSD"
        case "f_beta":
            return f"F{scores.beta:g}"
        case "boundary_iou":
            return f"boundary IoU at {scores.rim:g} {unit}"
    return score.title


def _reading(evaluation: Evaluation) -> str:
    level = f"{100 * evaluation.settings.bootstrap.level:g} %"
    text = (
        f"In grey: {level} bootstrap intervals. A structure that is empty on both sides has no overlap "
        "and no distance and is left out of those means; one that is missed or falsely found has an overlap of 0."
    )
    replaced = max(summary.replaced for summary in evaluation.summaries)  # the foreground's holds all others
    if replaced:
        text += f" Its distance is infinite; means of distances count the image's diagonal instead ({replaced} in all)."
    if evaluation.settings.scores.tolerances:
        text += " Tolerances of the NSD differ by structure; they stand at the end."
    return text


def _states(summary: Summary) -> list[str]:
    """How many cases lack the structure; nothing for the foreground, which is no structure."""
    return ["" if summary.structure == FOREGROUND else str(summary.statuses[status]) for status in _LACKING]


def words(status: Status) -> str:
    """A status for people."""
    return status.value.replace("_", " ")
