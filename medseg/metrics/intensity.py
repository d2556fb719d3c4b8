"""What the image shows inside a structure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Intensities:
    """Statistics of some voxels, in the image's own unit (HU in CT); NaN without a voxel.

    Attributes:
        finite: Voxels that hold a number; the others, such as NaN outside a field of view, are left out.
        mean: Their mean.
        sd: Standard deviation, of these voxels and not of a population that they were drawn from (divided by n).
        median: The 50th percentile.
        p5: The 5th percentile, interpolated between the two values beside it, as all are.
        p25: The 25th.
        p75: The 75th.
        p95: The 95th.
        minimum: The lowest.
        maximum: The highest.
    """

    finite: int
    mean: float
    sd: float
    median: float
    p5: float
    p25: float
    p75: float
    p95: float
    minimum: float
    maximum: float


def intensities_of(values: NDArray[np.generic]) -> Intensities:
    """Statistics of the values of some voxels, in any order; definitions as in pyradiomics 3."""
    numbers = values.astype(np.float64).reshape(-1)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return Intensities(0, *[math.nan] * 9)
    low, p5, p25, p50, p75, p95, high = np.percentile(numbers, (0, 5, 25, 50, 75, 95, 100)).tolist()
    return Intensities(numbers.size, float(numbers.mean()), float(numbers.std()), p50, p5, p25, p75, p95, low, high)
