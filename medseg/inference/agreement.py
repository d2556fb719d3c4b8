"""How far the members of a model agree about each target of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medseg.core.labels import LabelScheme

from .restore import Prediction

_LOW = 0.7


class Agreement:
    """Counts how many members vote for each target in each voxel, and makes one number a target of it.

    That number is the Dice of the members' label maps, two by two, each pair weighted by its sizes: with ``v`` of ``n``
    votes in a voxel, the sum of ``v (v - 1)`` over voxels divided by the sum of ``v (n - 1)``, which is
    ``sum 2 |A and B| / sum (|A| + |B|)`` over all pairs. Counts add up, so no label map is kept.

    Args:
        targets: Their names.
        members: How many there are, at least two.

    References:
        Roy et al., 2019, NeuroImage 195:11 (the Dice of two samples of a model tells of its quality).
    """

    def __init__(self, targets: Sequence[str], members: int) -> None:
        self._targets, self._members = targets, members
        self._votes = torch.zeros(len(targets), dtype=torch.float64)
        self._pairs = torch.zeros(len(targets), dtype=torch.float64)

    def add(self, votes: Tensor, weights: Tensor | None = None) -> None:
        """Count some voxels.

        Args:
            votes: Members for each target, shape ``(t, i, j, k)``.
            weights: How much each voxel counts, shape ``(i, j, k)``; None for 1.
        """
        for target, counted in enumerate(votes):
            if not counted.any():  # most windows hold few of many structures
                continue
            number = counted.float()
            weighted = number if weights is None else number * weights
            total = float(weighted.sum())
            self._votes[target] += total
            self._pairs[target] += float((weighted * number).sum()) - total

    def result(self) -> dict[str, float]:
        """Agreement by target, from 0 to 1; NaN where no member finds it."""
        return {
            name: pairs / (votes * (self._members - 1)) if votes > 0 else math.nan
            for name, votes, pairs in zip(self._targets, self._votes.tolist(), self._pairs.tolist(), strict=True)
        }


def disputed(agreement: Mapping[str, float] | None, target: str) -> tuple[str, ...]:
    """What is odd about how far the members of a model agree about a target; empty if nobody knows.

    Members disagree if their label maps, two by two, have a Dice below 0.7.
    """
    value = (agreement or {}).get(target, math.nan)
    return (f"members agree by a Dice of {value:.2f} only",) if value < _LOW else ()


def disputes(prediction: Prediction, scheme: LabelScheme) -> list[str]:
    """What the members of a model disagree about, a part of a sentence for each target that the result holds."""
    return [
        f"{target}: {flag}"
        for target in scheme.targets
        for flag in disputed(prediction.agreement, target)
        if scheme.mask(prediction.labels, target).any()
    ]
