"""The chapter of a model card on its scores by structure."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.render.document import Chapter, Grid, Part, Plots, Words
from medseg.render.interval_plot import interval_plot
from medseg.render.overlay import target_colours
from medseg.render.page import Cell

from .aggregate import FOREGROUND
from .card import Card
from .card_words import BASES, DOT, UNKNOWN, counted, estimate, figure
from .score_sheet import Basis, Figure, ScoreSheet, StructureFigures

_TOLD = {
    Basis.VALIDATION: "Of {who} that chose the best weights and the clean-up: new cases may score a little lower.",
    Basis.OUT_OF_FOLD: (
        "Of {who}, each outlined by the network that it did not train. The bundle averages all networks; clean-up, "
        "thresholds and temperature were chosen on these cases."
    ),
    Basis.EVALUATION: "Of {who}, scored by medseg evaluate.",
}
_STATUSES = {"missed": "missed", "false_positive": "falsely found"}


def score_chapter(card: Card) -> Chapter:
    """Means with intervals, by structure."""
    parts: list[Part] = []
    for sheet in card.sheets:
        parts += [Words(_TOLD[sheet.basis].format(who=_who(sheet))), _table(sheet), _plot(card, sheet)]
    if not parts:
        parts = [Words("Nobody has scored this model.")]
    else:
        level = f"{100 * card.sheets[0].level:g} %"
        parts.append(Words(f"Means over patients; behind each its {level} bootstrap interval (BCa).", is_muted=True))
    return Chapter("Scores", tuple(parts))


def headline(card: Card) -> str:
    """The score that is read first, in a sentence; empty if there is none."""
    if not card.sheets:
        return ""
    sheet = card.sheets[0]
    overall = sheet.structures[-1]
    value, ends = figure("dice", overall.means.get("dice"))
    between = f" ({100 * sheet.level:g} % interval {ends})" if ends else ""
    what = "foreground Dice" if overall.structure == FOREGROUND else f"Dice of {overall.structure}"
    return f"Mean {what} {value}{between}, over {_who(sheet, BASES[sheet.basis].removesuffix('s'))}."


def _who(sheet: ScoreSheet, noun: str = "case") -> str:
    of = f" of {counted(sheet.patients, 'patient')}" if sheet.patients < sheet.cases else ""
    return f"{counted(sheet.cases, noun)}{of}"


def _table(sheet: ScoreSheet) -> Grid:
    titles = {"dice": "Dice", "hd95": f"HD95, {sheet.unit.value}", "nsd": _nsd(sheet)}
    scores = [name for name in titles if any(name in one.means for one in sheet.structures)]
    states = [name for name in _STATUSES if any(one.statuses for one in sheet.structures)]
    header = ("", "cases", *(titles[name] for name in scores), *(_STATUSES[name] for name in states))
    return Grid(header, tuple(_row(one, scores, states) for one in sheet.structures))


def _row(one: StructureFigures, scores: Sequence[str], states: Sequence[str]) -> tuple[Cell, ...]:
    dice = one.means.get("dice", Figure())
    cells = [figure(name, one.means.get(name)) for name in scores]
    return (one.structure, str(dice.cases), *cells, *(str(one.statuses.get(name, UNKNOWN)) for name in states))


def _nsd(sheet: ScoreSheet) -> str:
    values = set(sheet.tolerances.values())
    return f"NSD at {values.pop():g} {sheet.unit.value}" if len(values) == 1 else "NSD"


def _plot(card: Card, sheet: ScoreSheet) -> Plots:
    colours = target_colours(card.scheme)
    known = [(one.structure, one.means["dice"]) for one in sheet.structures if "dice" in one.means]
    estimates = [estimate(name, dice, colours.get(name, DOT)) for name, dice in known if dice.mean is not None]
    title = f"mean Dice of the {BASES[sheet.basis]}"
    return Plots((interval_plot(estimates, title),) if estimates else ())
