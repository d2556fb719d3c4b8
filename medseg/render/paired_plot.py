"""Two models on the same cases: a dot a case, one model's score against the other's."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.core.labels import Colour

from . import svg
from .plots import Scale, nice_ticks, number

_SIDE, _LEFT, _TOP, _RIGHT, _BOTTOM = 300, 50, 26, 290, 256


def paired_plot(name: str, colour: Colour, dots: Sequence[tuple[float, float, str]], titles: tuple[str, str]) -> str:
    """A square panel with the diagonal, on which both models are alike.

    Args:
        name: What the panel is of.
        colour: Of the dots.
        dots: Score of the first model (across), of the second (up), and what is shown when a dot is pointed at.
        titles: Names of the two models.
    """
    values = [value for one, other, _ in dots for value in (one, other)] or [0.0, 1.0]
    margin = 0.06 * (max(values) - min(values)) or 0.05
    low, high = min(values) - margin, max(values) + margin
    x, y = Scale(low, high, _LEFT, _RIGHT), Scale(low, high, _BOTTOM, _TOP)
    parts = [svg.text(_LEFT, 16, name, "start", "name")]
    for tick in nice_ticks(low, high, 4):
        parts += [
            svg.line(_LEFT, y(tick), _RIGHT, y(tick)),
            svg.line(x(tick), _TOP, x(tick), _BOTTOM),
            svg.text(_LEFT - 6, y(tick) + 4, number(tick), "end"),
            svg.text(x(tick), _BOTTOM + 15, number(tick)),
        ]
    parts.append(svg.line(x(low), y(low), x(high), y(high), "strong dashed"))
    parts += [svg.dot(x(one), y(other), colour, text) for one, other, text in dots]
    said = f"across: {titles[0]} · up: {titles[1]}"
    parts.append(svg.text((_LEFT + _RIGHT) / 2, _SIDE - 8, said))
    return svg.drawing(_SIDE, _SIDE, f"{name}, {said}", parts)
