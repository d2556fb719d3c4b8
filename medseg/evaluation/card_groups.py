"""The chapter of a model card on its scores by subgroups of patients."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.render.document import Chapter, Grid, Part, Plots, Words
from medseg.render.interval_plot import interval_plot
from medseg.render.page import Cell

from .card import Card
from .card_words import BASES, UNKNOWN, estimate, figure
from .result import p_text, share
from .score_sheet import AttributeFigures
from .subgroups import FEWEST


def subgroup_chapter(card: Card) -> Chapter:
    """Dice by what tells patients apart."""
    parts: list[Part] = []
    for sheet in card.sheets:
        if sheet.attributes:
            parts += [Words(f"Mean Dice of the {BASES[sheet.basis]}."), _groups(sheet.attributes)]
            parts += [Words(_gap(one), is_muted=True) for one in sheet.attributes]
            parts += _group_plots(sheet.attributes)
    if not parts:
        parts = [Words("Unknown: no attribute parts the scored patients into groups that may be named.")]
    else:
        few = f"A group of fewer than {FEWEST} patients is too small to judge and has no mean."
        parts.append(Words(f"{few} That no difference is shown does not prove that there is none.", is_muted=True))
    return Chapter("Scores by subgroup", tuple(parts))


def _groups(attributes: Sequence[AttributeFigures]) -> Grid:
    rows: list[tuple[Cell, ...]] = []
    for one in attributes:
        rows += [(one.attribute, group.value, str(group.patients), figure("dice", group.dice)) for group in one.groups]
        for words, patients in (("other values", one.other), ("unknown", one.unknown)):
            rows += [(one.attribute, words, str(patients), UNKNOWN)] if patients else []
    return Grid(("attribute", "group", "patients", "Dice"), tuple(rows), text_columns=2)


def _gap(one: AttributeFigures) -> str:
    if one.gap is None or one.p_adjusted is None:
        return f"{one.attribute}: fewer than two groups can be judged."
    worst = f", {one.worst} is the lowest" if one.worst else ""
    return f"{one.attribute}: the groups differ by up to {share(one.gap)}{worst}; corrected p {p_text(one.p_adjusted)}."


def _group_plots(attributes: Sequence[AttributeFigures]) -> list[Part]:
    judged = {
        one.attribute: [estimate(group.value, group.dice) for group in one.groups if group.mean is not None]
        for one in attributes
    }
    everyone = [one for estimates in judged.values() for one in estimates]
    return [
        Plots((interval_plot(estimates, f"mean Dice by {name}", others=everyone),))
        for name, estimates in judged.items()
        if estimates
    ]
