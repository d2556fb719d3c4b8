"""Whether probabilities mean what they say: of all voxels given 70 percent, 70 percent should be right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import DataError

Probabilities = NDArray[np.floating]
Mask = NDArray[np.bool_]
BINS = 15
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Reliability:
    """Voxels by how probable they were said to be; counts of cases add up.

    Attributes:
        voxels: Of each bin, shape ``(bins,)``; bin ``b`` holds probabilities from ``b / bins`` up to the next.
        said: Sum of the probabilities of each bin.
        true: Voxels of each bin that are in the reference.
        squares: Sum over all voxels of the squared difference between probability and truth.
    """

    voxels: NDArray[np.int64]
    said: NDArray[np.float64]
    true: NDArray[np.int64]
    squares: float

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(
            self.voxels + other.voxels, self.said + other.said, self.true + other.true, self.squares + other.squares
        )

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Mean probability of each bin; NaN where it holds no voxel."""
        return _ratio(self.said, self.voxels)

    @property
    def frequency(self) -> NDArray[np.float64]:
        """Share of each bin that is in the reference; NaN where it holds no voxel."""
        return _ratio(self.true, self.voxels)


def reliability(probabilities: Probabilities, reference: Mask, bins: int = BINS) -> Reliability:
    """Counts of one structure's probabilities against where it is.

    What is far from any border is easy and right, and drives every error to nothing: give a box around the structure
    with a margin, not the whole volume, and say so.

    Args:
        probabilities: In ``[0, 1]``, any shape.
        reference: Of the same shape.
        bins: Of equal width.

    Raises:
        DataError: If a probability is NaN or out of range, or the shapes differ.
    """
    if probabilities.shape != reference.shape:
        raise DataError(f"probabilities {probabilities.shape} and reference {reference.shape} differ in shape")
    flat, truth = probabilities.reshape(-1), reference.reshape(-1)
    found = Reliability(np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins, np.int64), 0.0)
    for start in range(0, flat.size, _CHUNK):
        found += _of_chunk(flat[start : start + _CHUNK].astype(np.float64), truth[start : start + _CHUNK], bins)
    return found


def ece(counts: Reliability) -> float:
    """Expected calibration error, in ``[0, 1]``; NaN without voxels. It depends on the number of bins: name it.

    Mean over the voxels of the distance between what their bin said and what was true (Naeini et al., 2015, AAAI;
    here of one structure's probability, not of the winner's).
    """
    voxels = counts.voxels.sum()
    if voxels == 0:
        return math.nan
    return float(np.abs(counts.said - counts.true).sum() / voxels)


def brier(counts: Reliability) -> float:
    """Brier score of one structure: mean squared difference, in ``[0, 1]``; NaN without voxels.

    Half of Brier's own sum over both classes, structure and not (Brier, 1950, Monthly Weather Review 78:1).
    """
    voxels = counts.voxels.sum()
    return math.nan if voxels == 0 else float(counts.squares / voxels)


def _of_chunk(values: NDArray[np.float64], truth: Mask, bins: int) -> Reliability:
    if not bool(((values >= 0) & (values <= 1)).all()):  # NaN fails both
        raise DataError("probabilities must lie between 0 and 1; give probabilities, not logits")
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    return Reliability(
        np.bincount(place, minlength=bins),
        np.bincount(place, weights=values, minlength=bins).astype(np.float64),
        np.bincount(place[truth], minlength=bins),
        float(np.square(values - truth).sum()),
    )


def _ratio(part: NDArray[np.int64] | NDArray[np.float64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
