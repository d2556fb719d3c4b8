"""The plots of the report."""

from __future__ import annotations

import math

from medseg.metrics.empties import Status
from medseg.metrics.table import StructureScore
from medseg.render import page
from medseg.render.overlay import target_colours
from medseg.render.page import Html
from medseg.render.plots import Dot, Group, bland_altman, number, swarm

from .result import Evaluation, shown

_MOST_PANELS = 12


def plots(evaluation: Evaluation) -> list[Html]:
    """Dice and HD95 of every case by structure, and the volumes of both sides against each other."""
    unit = evaluation.unit.value
    dice = _groups(evaluation, "dice")
    distances = _groups(evaluation, "hd95")
    panels = _volume_panels(evaluation)
    shown, folded = page.side_by_side(panels[:_MOST_PANELS]), panels[_MOST_PANELS:]
    return [
        page.heading("Dice of every case"),
        page.drawing(
            swarm(dice, "Dice", highest=1.0),
            "A dot is a case; point at it for its name. A box holds the middle half of the cases and their median, its "
            "whiskers reach to the last case within 1.5 boxes.",
        ),
        page.heading("HD95 of every case"),
        page.drawing(
            swarm(distances, f"HD95, {unit}"),
            "Smaller is better. A structure that one side lacks is infinitely far away.",
        ),
        page.heading("Volumes"),
        page.paragraph(
            f"Predicted minus reference volume over the mean of both, {evaluation.volume_unit}; the line is the mean "
            "difference, the dashed lines are the limits of agreement (1.96 standard deviations).",
            muted=True,
        ),
        shown,
        *([page.folded(f"more structures: {len(folded)}", [page.side_by_side(folded)])] if folded else []),
    ]


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


def _volume_panels(evaluation: Evaluation) -> list[Html]:
    panels = []
    for target, colour in target_colours(evaluation.scheme).items():
        rows = [r for r in evaluation.rows if r.structure == target and r.status is not Status.BOTH_EMPTY]
        if rows:
            dots = tuple(Dot(row.volume_difference, _volumes(row)) for row in rows)
            means = [(row.volume_predicted + row.volume_reference) / 2 for row in rows]
            panels.append(page.drawing(bland_altman(Group(target, colour, dots), means, evaluation.volume_unit)))
    return panels


def _volumes(row: StructureScore) -> str:
    predicted, reference = number(row.volume_predicted), number(row.volume_reference)
    return f"{row.case}: {predicted} {row.volume_unit} predicted, {reference} reference"


def _why(row: StructureScore) -> str:
    return "" if row.status is Status.OK else f" ({row.status.value.replace('_', ' ')})"
