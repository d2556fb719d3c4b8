"""Voxel sizes for people: few digits, but enough for those of microscopes."""

from __future__ import annotations

import math


def rounded_mm(size: float, digits: int) -> float:
    """A size above 0 with so many digits behind the point, or so many that count where it is smaller than 1."""
    return round(size, digits - min(0, math.floor(math.log10(size)) + 1))
