"""How a model card puts numbers and sections of a configuration into words, and a mean into a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from medseg.config.section import Section
from medseg.core.labels import Colour, palette_colour
from medseg.render.interval_plot import Estimate

from .result import shown
from .score_sheet import Basis, Figure

UNKNOWN = "\N{EN DASH}"
DOT = palette_colour(4)
"""Colour of what is no structure of its own."""
BASES = {
    Basis.VALIDATION: "validation cases",
    Basis.OUT_OF_FOLD: "out-of-fold cases",
    Basis.EVALUATION: "evaluated cases",
}


def told(section: Section) -> str:
    """All that a section of a configuration says, in one line; places of files are left out."""
    tree = section.model_dump(mode="json", exclude_none=True, exclude={"bundle", "file", "folder"})
    name = str(tree.pop("name", ""))
    parts = "; ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in tree.items())
    return f"{name} ({parts})" if name and parts else name or parts


def figure(score: str, found: Figure | None) -> tuple[str, str]:
    """A mean and its interval as a cell of a table."""
    if found is None or found.mean is None:
        return UNKNOWN, ""
    ends = "" if found.low is None or found.high is None else f"{shown(score, found.low)} to {shown(score, found.high)}"
    return shown(score, found.mean), ends


def estimate(name: str, dice: Figure, colour: Colour = DOT) -> Estimate:
    """A mean Dice and its interval as a row of a plot."""
    value, ends = figure("dice", dice)
    told = f"{name}: {value} ({ends or 'no interval'})"
    note = f"{value} (n = {dice.patients})"
    return Estimate(name, or_nan(dice.mean), or_nan(dice.low), or_nan(dice.high), note, colour, told)


def or_nan(value: float | None) -> float:
    """A value for a plot, which knows no None."""
    return math.nan if value is None else value


def ranges(low: Iterable[float], high: Iterable[float]) -> list[str]:
    """For each axis ``0.7 to 1``, or one number where both are the same."""
    pairs = [(f"{one:.3g}", f"{other:.3g}") for one, other in zip(low, high, strict=True)]
    return [one if one == other else f"{one} to {other}" for one, other in pairs]


def listed(names: Sequence[str], most: int = 8) -> str:
    """``a, b and c``; of many the first."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def counted(number: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Hours, minutes or seconds, whichever is a number of a few digits."""
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _value(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() if any(isinstance(one, list) for one in value):
            return " ".join("x".join(map(str, one)) for one in value)
        case list():
            return ", ".join(map(_value, value)) or "none"
        case dict():
            return ", ".join(f"{key.replace('_', ' ')} {_value(one)}" for key, one in value.items()) or "none"
        case _:
            return str(value)
