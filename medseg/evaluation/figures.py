"""The plots of the report that show every case."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore
from medseg.render import page
from medseg.render.overlay import target_colours
from medseg.render.page import Html
from medseg.render.plots import Dot, Group, bland_altman, number, swarm

from .result import Evaluation, shown

_MOST_PANELS, _MOST_ROWS = 12, 25
_MOST_DOTS = 12_000
"""Dots of one plot: more make a page that browsers are slow with."""


def plots(evaluation: Evaluation) -> list[Html]:
    """Dice and HD95 of every case by structure, and the volumes of both sides against each other."""
    return [*_swarms(evaluation), *_volumes(evaluation)]


def _swarms(evaluation: Evaluation) -> list[Html]:
    step = max(1, math.ceil(len(evaluation.rows) / _MOST_DOTS))
    thinned = f" There are too many to draw: by their size, one case in {step} is shown." if step > 1 else ""
    dice, distances = (_thinned(_groups(evaluation, score), step) for score in ("dice", "hd95"))
    return [
        page.heading("Dice of every case"),
        *_in_parts(
            dice,
            "Dice",
            1.0,
            "A dot is a case; point at it for its name. A box holds the middle half of the cases and their median, its "
            f"whiskers reach to the last case within 1.5 boxes.{thinned}",
        ),
        page.heading("HD95 of every case"),
        *_in_parts(
            distances,
            f"HD95, {evaluation.unit.value}",
            None,
            "Smaller is better. A structure that one side lacks is infinitely far away.",
        ),
    ]


def _in_parts(groups: Sequence[Group], title: str, highest: float | None, caption: str) -> list[Html]:
    """The first rows, and the others folded."""
    parts = [page.drawing(swarm(groups[:_MOST_ROWS], title, highest), caption)]
    rest = groups[_MOST_ROWS:]
    if rest:
        parts.append(page.folded(f"more structures: {len(rest)}", [page.drawing(swarm(rest, title, highest))]))
    return parts


def _thinned(groups: Sequence[Group], step: int) -> list[Group]:
    """Every so many of the dots of each group, by their size, so that boxes stay where they are; the extremes stay."""
    if step == 1:
        return list(groups)
    thinned = []
    for group in groups:
        dots = sorted(group.dots, key=lambda dot: dot.value)
        thinned.append(Group(group.name, group.colour, (*dots[:-1:step], *dots[-1:])))
    return thinned


def _groups(evaluation: Evaluation, score: str) -> list[Group]:
    """The dots of each structure; cases without a score are left out."""
    groups = []
    for target, colour in target_colours(evaluation.scheme).items():
        scores = [(row, float(getattr(row, score))) for row in evaluation.rows if row.structure == target]
        dots = [
            Dot(value, f"{row.case}: {shown(score, value)}{_why(row)}")
            for row, value in scores
            if not math.isnan(value)
        ]
        groups.append(Group(target, colour, tuple(dots)))
    return groups


def _volumes(evaluation: Evaluation) -> list[Html]:
    panels, undrawn = _volume_panels(evaluation)
    shown, folded = page.side_by_side(panels[:_MOST_PANELS]), panels[_MOST_PANELS:]
    parts = [
        page.heading("Volumes"),
        page.paragraph(
            f"Predicted minus reference volume over the mean of both, {evaluation.volume_unit}; the line is the mean "
            "difference, the dashed lines are the limits of agreement (1.96 standard deviations).",
            muted=True,
        ),
        shown,
    ]
    if folded:
        parts.append(page.folded(f"more structures: {len(folded)}", [page.side_by_side(folded)]))
    if undrawn:
        parts.append(page.paragraph(f"Not drawn, as there are too many cases: {', '.join(undrawn)}.", muted=True))
    return parts


def _volume_panels(evaluation: Evaluation) -> tuple[list[Html], list[str]]:
    """A panel a structure as long as there are not too many dots, and the structures without one."""
    panels: list[Html] = []
    undrawn, drawn = [], 0
    for target, colour in target_colours(evaluation.scheme).items():
        rows = [r for r in evaluation.rows if r.structure == target and r.status is not Status.BOTH_EMPTY]
        if panels and drawn + len(rows) > _MOST_DOTS:
            undrawn.append(target)
        elif rows:
            dots = tuple(Dot(row.volume_difference, _told(row)) for row in rows)
            means = [(row.volume_predicted + row.volume_reference) / 2 for row in rows]
            panels.append(page.drawing(bland_altman(Group(target, colour, dots), means, evaluation.volume_unit)))
            drawn += len(rows)
    return panels, undrawn


def _told(row: StructureScore) -> str:
    predicted, reference = number(row.volume_predicted), number(row.volume_reference)
    return f"{row.case}: {predicted} {row.volume_unit} predicted, {reference} reference"


def _why(row: StructureScore) -> str:
    return "" if row.status is Status.OK else f" ({row.status.value.replace('_', ' ')})"
