"""Probabilities that mean what they say: a temperature, and thresholds for structures that may overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels
from medseg.metrics.boxes import hull, value_boxes

HALF = 0.5
MARGIN = 1e-6
"""A voxel belongs to a target that lies above its threshold by this: an undecided 0.5 is rounded to both sides."""
COLDEST, HOTTEST = 0.1, 10.0
_STEPS = 60
_CANDIDATES = np.arange(5, 100, 5) / 100
_SMALLEST_GAIN = 1e-4
_AROUND = 8
_LEAST, _LEAST_REST = 1e-7, 2.0**-12

Threshold = Annotated[float, Field(gt=0, lt=1)]


class Calibration(BaseModel):
    """How a bundle's probabilities are corrected; the default corrects nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Annotated[float, Field(ge=COLDEST, le=HOTTEST)] = 1.0
    """What the logits of each member are divided by before they become probabilities; above 1 they are less sure."""
    thresholds: dict[str, Threshold] = {}
    """Of targets that may overlap: the probability above which a voxel belongs to them; 0.5 for those not named."""

    @property
    def is_default(self) -> bool:
        """Whether it corrects nothing."""
        return self == Calibration()

    def threshold(self, target: str) -> float:
        """Probability above which a voxel belongs to a target."""
        return self.thresholds.get(target, HALF)


@dataclass(frozen=True, eq=False)
class VoxelSample:
    """Some voxels of predictions, and what they are.

    Attributes:
        probabilities: Shape ``(n, c)``: the background and the targets, which exclude each other; else the targets.
        labels: Class indices, shape ``(n,)``, where targets exclude each other; else 0 or 1, shape ``(n, c)``.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.uint8]

    @property
    def logits(self) -> NDArray[np.float64]:
        """What the probabilities are the softmax, or the sigmoid, of."""
        return logits_of(self.probabilities, exclusive=self.labels.ndim == 1)

    @classmethod
    def joined(cls, samples: Iterable[VoxelSample]) -> VoxelSample:
        """The voxels of several cases of one scheme, at least one."""
        parts = tuple(samples)
        return cls(
            np.concatenate([part.probabilities for part in parts]), np.concatenate([part.labels for part in parts])
        )


def sample_voxels(
    probabilities: NDArray[np.floating],
    reference: Labels,
    scheme: LabelScheme,
    count: int,
    rng: np.random.Generator,
) -> VoxelSample:
    """Voxels of one case, drawn alike from the box of its reference.

    The box holds all targets of the reference, and 8 voxels around. Far from them a network is sure and right, which
    would drown what is to be learned. Voxels that nobody labelled are never drawn.

    Args:
        probabilities: Of the targets, as ``Prediction.probabilities`` has them, shape ``(t, i, j, k)``.
        reference: What is true, on the same grid.
        scheme: What the targets are.
        count: Voxels at most; a small case gives fewer.
        rng: Draws them.

    Returns:
        The sample; empty if the reference holds no target.

    References:
        Mehrtash et al., 2020, IEEE TMI 39(12):3868 (calibration inside bounding boxes).
    """
    masks = _masks(reference, scheme)
    boxes = [box for mask in masks if (box := value_boxes(mask.view(np.uint8), 1)[0]) is not None]
    box = hull(boxes, reference.geometry.shape, _AROUND) if boxes else (slice(0, 0),) * 3
    known = np.ones(reference.geometry.shape, np.bool_)[box]
    if isinstance(reference, LabelMap) and scheme.ignore is not None:
        known = reference.array[box] != scheme.ignore
    places = np.flatnonzero(known)
    drawn = np.sort(rng.choice(places, min(count, len(places)), replace=False))
    voxels = np.stack([channel[box].ravel()[drawn] for channel in probabilities], axis=1).astype(np.float64)
    true = np.stack([mask[box].ravel()[drawn] for mask in masks], axis=1).astype(np.uint8)
    if not scheme.is_exclusive:
        return VoxelSample(voxels, true)
    rest = np.clip(1 - voxels.sum(axis=1, keepdims=True), 0, 1)
    return VoxelSample(np.hstack([rest, voxels]), (true * np.arange(1, true.shape[1] + 1, dtype=np.uint8)).max(axis=1))


def logits_of(probabilities: NDArray[np.floating], *, exclusive: bool) -> NDArray[np.float64]:
    """Logits that give these probabilities ``(n, c)``, by a softmax where they exclude each other, else by a sigmoid.

    Probabilities are kept in 16 bits, so a background below 0.0002 counts as that, and others below 0.0000001.
    """
    least = np.full(probabilities.shape[1], _LEAST)
    if exclusive:
        least[0] = _LEAST_REST
        logarithms: NDArray[np.float64] = np.log(np.maximum(probabilities.astype(np.float64), least))
        return logarithms
    kept = np.clip(probabilities.astype(np.float64), _LEAST_REST, 1 - _LEAST_REST)
    odds: NDArray[np.float64] = np.log(kept) - np.log1p(-kept)
    return odds


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature by which to divide logits so that the labels are most likely.

    Args:
        logits: Shape ``(n, c)``; ``VoxelSample.logits`` gives them for probabilities.
        labels: Class indices, shape ``(n,)``, for a softmax; 0 or 1, shape ``(n, c)``, for a sigmoid each.

    Returns:
        The temperature, from 0.1 to 10; 1 if there are no voxels.

    References:
        Guo et al., 2017, ICML, section 4.2, equation 9.
    """
    if len(labels) == 0:
        return 1.0
    numbers = logits.astype(np.float64)
    slope = partial(_softmax_slope if labels.ndim == 1 else _sigmoid_slope, numbers, labels)
    # The likelihood is a convex function of 1 / T, so its slope has one sign on either side of the best.
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def negative_log_likelihood(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean of ``-log p`` of what is true, in nats; what ``fit_temperature`` makes smallest. NaN without voxels.

    Args:
        logits: Shape ``(n, c)``.
        labels: Class indices, shape ``(n,)``, for a softmax; 0 or 1, shape ``(n, c)``, for a sigmoid each.
    """
    if len(labels) == 0:
        return math.nan
    if labels.ndim == 2:
        return float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean())
    largest = logits.max(axis=1)
    total = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return float((total - logits[np.arange(len(labels)), labels]).mean())


def fit_thresholds(cases: Iterable[tuple[NDArray[np.floating], Labels]], scheme: LabelScheme) -> Mapping[str, float]:
    """For each target the threshold with the best mean Dice over some cases, looked at one at a time.

    A threshold other than 0.5 has to gain at least 0.0001; a target that a case rightly lacks counts as 1 there, so
    that all thresholds are judged by the same cases.

    Args:
        cases: Probabilities, shape ``(t, i, j, k)``, beside the reference.
        scheme: Its targets may overlap.

    Returns:
        Thresholds other than 0.5, by target, for ``Calibration``; empty without cases, and where targets exclude each
        other.
    """
    if scheme.is_exclusive:
        return {}
    rows = [_dice_by_threshold(probabilities, reference, scheme) for probabilities, reference in cases]
    if not rows:
        return {}
    means = np.mean(rows, axis=0)
    chosen = {}
    for target, scores in zip(scheme.targets, means, strict=True):
        best = int(scores.argmax())
        if scores[best] - scores[_CANDIDATES.tolist().index(HALF)] >= _SMALLEST_GAIN:
            chosen[target] = float(_CANDIDATES[best])
    return chosen


def _masks(reference: Labels, scheme: LabelScheme) -> list[NDArray[np.bool_]]:
    return [scheme.mask(reference, target) for target in scheme.targets]


def _softmax_slope(logits: NDArray[np.float64], labels: NDArray[np.integer], sharpness: float) -> float:
    """Derivative of the mean negative log-likelihood by 1 / T."""
    scaled = logits * sharpness
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = (shares * logits).sum(axis=1)
    return float(np.mean(expected - logits[np.arange(len(labels)), labels]))


def _sigmoid_slope(logits: NDArray[np.float64], labels: NDArray[np.integer], sharpness: float) -> float:
    """The same for targets of their own, each with a sigmoid."""
    probabilities = 0.5 * (1 + np.tanh(0.5 * sharpness * logits))  # a sigmoid that cannot overflow
    return float(np.mean((probabilities - labels) * logits))


def _dice_by_threshold(
    probabilities: NDArray[np.floating], reference: Labels, scheme: LabelScheme
) -> NDArray[np.float64]:
    """Dice of each target at each candidate, shape ``(t, candidates)``; 1 where neither side holds it."""
    ignored = isinstance(reference, LabelMap) and scheme.ignore is not None
    known = reference.array != scheme.ignore if ignored else np.ones(reference.geometry.shape, np.bool_)
    rows = []
    for channel, mask in zip(probabilities, _masks(reference, scheme), strict=True):
        predicted = _counts_above(channel[known])
        shared = _counts_above(channel[known & mask])
        sizes = predicted + np.count_nonzero(known & mask)
        rows.append(np.divide(2 * shared, sizes, out=np.ones(len(sizes)), where=sizes > 0))
    return np.array(rows)


def _counts_above(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many values lie above each candidate."""
    places = np.searchsorted(_CANDIDATES, values.astype(np.float64) - MARGIN, side="left")
    return np.bincount(places, minlength=len(_CANDIDATES) + 1)[::-1].cumsum()[::-1][1:]
