"""Estimates with their intervals, one a row: groups of patients, differences between models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medseg.core.labels import Colour

from . import svg
from .plots import Scale, nice_ticks, number

_WIDTH, _NAMES, _NOTES = 920, 200, 190
_ROW, _TOP, _FOOT = 30, 8, 44
_END = 5


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        name: Stands at the left.
        value: The dot; NaN draws none.
        low: Lower end of the interval; NaN draws no interval.
        high: Upper end.
        note: Stands at the right, such as the number of patients.
        colour: Of the dot.
        text: Shown when the dot is pointed at.
    """

    name: str
    value: float
    low: float
    high: float
    note: str
    colour: Colour
    text: str


def interval_plot(
    estimates: Sequence[Estimate], title: str, mark: float | None = None, others: Sequence[Estimate] = ()
) -> str:
    """A row per estimate, from top to bottom.

    Args:
        estimates: At least one.
        title: What the axis shows, with its unit.
        mark: Value of a dashed line, such as 0 for no difference; it is always within the axis.
        others: Estimates of other plots, which the axis has room for too, so that plots can be compared.
    """
    values = [end for one in (*estimates, *others) for end in (one.value, one.low, one.high) if not math.isnan(end)]
    scale = Scale(*_range([*values, *([] if mark is None else [mark])]), _NAMES, _WIDTH - _NOTES)
    bottom = _TOP + _ROW * len(estimates)
    ticks = nice_ticks(scale.low, scale.high)
    parts = [svg.line(scale(tick), _TOP, scale(tick), bottom) for tick in ticks]
    parts += [svg.text(scale(tick), bottom + 16, number(tick)) for tick in ticks]
    parts.append(svg.text((scale.start + scale.end) / 2, bottom + 36, title))
    if mark is not None:
        parts.append(svg.line(scale(mark), _TOP, scale(mark), bottom, "strong dashed"))
    for row, one in enumerate(estimates):
        parts += _row(one, _TOP + _ROW * (row + 0.5), scale)
    return svg.drawing(_WIDTH, bottom + _FOOT, title, parts)


def _row(one: Estimate, middle: float, scale: Scale) -> list[str]:
    parts = [
        svg.text(_NAMES - 14, middle + 4, one.name, "end", "name"),
        svg.text(_WIDTH - _NOTES + 14, middle + 4, one.note, "start"),
    ]
    if not math.isnan(one.low):
        low, high = scale(one.low), scale(one.high)
        parts.append(svg.line(low, middle, high, middle, "median"))
        parts += [svg.line(end, middle - _END, end, middle + _END, "median") for end in (low, high)]
    if not math.isnan(one.value):
        parts.append(svg.dot(scale(one.value), middle, one.colour, one.text, svg.DOT * 1.7))
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The axis: all values and a margin."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.06 * (high - low) or max(abs(high) * 0.1, 0.01)
    return low - margin, high + margin
