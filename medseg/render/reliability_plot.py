"""What a model said against what was true: the reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from medseg.core.labels import Colour

from . import svg
from .plots import Scale, number

_WIDTH, _HEIGHT = 300, 342
_LEFT, _RIGHT, _TOP = 44, 290, 26
_BOTTOM, _BARS = _TOP + (_RIGHT - _LEFT), 20
_FOOT = 14
_TICKS = (0.0, 0.5, 1.0)


def reliability_plot(name: str, colour: Colour, bins: Sequence[tuple[float, float, int]], said: str) -> str:
    """A dot a bin of probabilities: the mean probability against the share that is true; on the diagonal both agree.

    Bars below the axis show how many voxels a bin holds, on a logarithmic scale.

    Args:
        name: What the panel is of.
        colour: Of the dots.
        bins: Mean probability, share that is true, and voxels of each bin; NaN where it holds none.
        said: A line below, such as the calibration error.
    """
    x, y = Scale(0.0, 1.0, _LEFT, _RIGHT), Scale(0.0, 1.0, _BOTTOM, _TOP)
    parts = [svg.text(_LEFT, 16, name, "start", "name")]
    for tick in _TICKS:
        parts += [
            svg.line(_LEFT, y(tick), _RIGHT, y(tick)),
            svg.line(x(tick), _TOP, x(tick), _BOTTOM),
            svg.text(_LEFT - 6, y(tick) + 4, number(tick), "end"),
            svg.text(x(tick), _BOTTOM + _BARS + 18, number(tick)),
        ]
    parts.append(svg.line(x(0), y(0), x(1), y(1), "strong dashed"))
    known = [(confidence, true, voxels) for confidence, true, voxels in bins if voxels]
    parts += [svg.line(x(a[0]), y(a[1]), x(b[0]), y(b[1]), "strong") for a, b in pairwise(known)]
    parts += [
        svg.dot(x(confidence), y(true), colour, f"said {number(confidence)}, true {number(true)}, {voxels} voxels")
        for confidence, true, voxels in known
    ]
    return svg.drawing(
        _WIDTH,
        _HEIGHT,
        f"{name}: {said}",
        [*parts, *_bars([voxels for *_, voxels in bins]), svg.text((_LEFT + _RIGHT) / 2, _HEIGHT - _FOOT / 2, said)],
    )


def _bars(voxels: Sequence[int]) -> list[str]:
    """How many voxels each bin holds, hanging from the axis."""
    most = math.log10(1 + max(voxels, default=0)) or 1.0
    side = (_RIGHT - _LEFT) / max(1, len(voxels))
    return [
        svg.box(_LEFT + side * index + 1, _BOTTOM, side - 2, _BARS * math.log10(1 + count) / most)
        for index, count in enumerate(voxels)
        if count
    ]
