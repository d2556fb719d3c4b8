"""Plots as SVG: they take the page's light or dark colours, and each dot tells its case when pointed at."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.core.labels import Colour

from . import svg

_WIDTH, _NAMES, _RIGHT, _TOP, _FOOT = 920, 170, 20, 8, 44
_ROW, _HALF, _BOX = 46, 17, 22
_LANE = 46  # where infinite values stand
_PANEL_WIDTH, _PANEL_HEIGHT = 300, 230
_LEFT, _ABOVE, _BELOW, _BESIDE = 52, 26, 40, 10


@dataclass(frozen=True)
class Dot:
    """A value and what is shown when it is pointed at."""

    value: float
    text: str


@dataclass(frozen=True)
class Group:
    """The dots of one structure."""

    name: str
    colour: Colour
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Scale:
    """A linear axis from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def swarm(groups: Sequence[Group], title: str, highest: float | None = None) -> str:
    """A row per group: its dots over a box of the quartiles, whiskers to 1.5 times their distance.

    Args:
        groups: From top to bottom. NaN is left out; infinite values stand in a lane of their own, at the right.
        title: What the axis shows, with its unit.
        highest: End of the axis, which starts at 0; by default the largest finite value.
    """
    values = [dot.value for group in groups for dot in group.dots]
    high = highest or max([1e-6, *filter(math.isfinite, values)])
    ticks = nice_ticks(0.0, high)
    end = _WIDTH - _RIGHT - (_LANE if any(map(math.isinf, values)) else 0)
    lane = end + _LANE * 0.65
    scale = Scale(0.0, high, _NAMES, end)
    bottom = _TOP + _ROW * len(groups)
    parts = [svg.line(scale(tick), _TOP, scale(tick), bottom) for tick in ticks]
    parts += [svg.text(scale(tick), bottom + 16, number(tick)) for tick in ticks]
    parts.append(svg.text((_NAMES + end) / 2, bottom + 36, title))
    if end < _WIDTH - _RIGHT:
        parts += [svg.line(lane, _TOP, lane, bottom, "grid dashed"), svg.text(lane, bottom + 16, "∞")]
    for row, group in enumerate(groups):
        parts += _row(group, _TOP + _ROW * (row + 0.5), scale, lane)
    return svg.drawing(_WIDTH, bottom + _FOOT, title, parts)


def bland_altman(group: Group, means: Sequence[float], unit: str) -> str:
    """Differences over means of two measurements, with their mean and the limits of agreement (1.96 SD).

    Args:
        group: The differences, at least one.
        means: The mean of the two measurements for each difference.
        unit: Of both.

    References:
        Bland and Altman, 1986, Lancet 327(8476):307.
    """
    differences = np.array([dot.value for dot in group.dots])
    bias = float(differences.mean())
    spread = float(1.96 * differences.std(ddof=1)) if len(differences) > 1 else 0.0
    reach = 1.1 * max(float(np.abs(differences).max()), abs(bias) + spread, 1e-6)
    right, bottom = _PANEL_WIDTH - _BESIDE, _PANEL_HEIGHT - _BELOW
    x, y = Scale(*_padded(min(means), max(means)), _LEFT, right), Scale(-reach, reach, bottom, _ABOVE)
    parts = [svg.text(_LEFT, 16, group.name, "start", "name")]
    parts += [svg.text(x(tick), bottom + 15, number(tick)) for tick in nice_ticks(x.low, x.high)]
    for tick in nice_ticks(y.low, y.high):
        parts += [svg.line(_LEFT, y(tick), right, y(tick)), svg.text(_LEFT - 6, y(tick) + 4, number(tick), "end")]
    limits = (bias - spread, bias + spread)
    parts.append(svg.line(_LEFT, y(bias), right, y(bias), "strong"))
    parts += [svg.line(_LEFT, y(limit), right, y(limit), "strong dashed") for limit in limits if spread]
    parts += [svg.dot(x(at), y(dot.value), group.colour, dot.text) for at, dot in zip(means, group.dots, strict=True)]
    said = f"bias {number(bias)}, limits {number(limits[0])} to {number(limits[1])} {unit}"
    parts.append(svg.text((_LEFT + right) / 2, _PANEL_HEIGHT - 6, said))
    return svg.drawing(_PANEL_WIDTH, _PANEL_HEIGHT, f"{group.name}: {said}", parts)


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values between ``low`` and ``high``, at most ``most`` steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def number(value: float) -> str:
    """Three digits or all before the point, with a true minus."""
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return digits.replace("-", "\N{MINUS SIGN}")


def _row(group: Group, middle: float, scale: Scale, lane: float) -> list[str]:
    finite = [dot for dot in group.dots if math.isfinite(dot.value)]
    infinite = [dot for dot in group.dots if math.isinf(dot.value)]
    parts = [svg.text(_NAMES - 12, middle + 4, group.name, "end", "name")]
    if len(finite) > 1:
        parts += _box([dot.value for dot in finite], middle, scale)
    places = [*(scale(dot.value) for dot in finite), *(lane for _ in infinite)]
    for x, dot, offset in zip(places, finite + infinite, _offsets(places), strict=True):
        parts.append(svg.dot(x, middle + offset, group.colour, dot.text))
    return parts


def _box(values: list[float], middle: float, scale: Scale) -> list[str]:
    first, median, third = (float(edge) for edge in np.percentile(values, (25, 50, 75)))
    reach = 1.5 * (third - first)
    low = min(value for value in values if value >= first - reach)
    high = max(value for value in values if value <= third + reach)
    return [
        svg.line(scale(low), middle, scale(first), middle, "strong"),
        svg.line(scale(third), middle, scale(high), middle, "strong"),
        svg.box(scale(first), middle - _BOX / 2, scale(third) - scale(first), _BOX),
        svg.line(scale(median), middle - _BOX / 2, scale(median), middle + _BOX / 2, "median"),
    ]


def _offsets(places: Sequence[float]) -> list[float]:
    """How far each dot moves off the line, so that those at one place do not hide each other."""
    bins = [int(place // (2 * svg.DOT)) for place in places]
    sizes, seen = Counter(bins), Counter[int]()
    offsets = []
    for place in bins:
        step = min(2 * svg.DOT, 2 * _HALF / sizes[place])
        index = seen[place]
        offsets.append(step * ((index + 1) // 2) * (1 if index % 2 else -1))
        seen[place] += 1
    return offsets


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.08 * (high - low) or max(abs(high) * 0.1, 1e-6)
    return low - margin, high + margin
