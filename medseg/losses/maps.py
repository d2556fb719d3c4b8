"""Probabilities and reference of each structure as maps, for the losses that look at where a voxel lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.core.labels import IGNORE_INDEX

from .soft_counts import check_weights, single_precision, structure_weights, weighted_mean


@dataclass(frozen=True, eq=False)
class StructureMaps:
    """What is predicted and what is true, structure by structure, without the background.

    Attributes:
        probabilities: In single precision at least, shape ``(b, s, *spatial)``.
        reference: Bool, of the same shape.
        valid: Bool, of the same shape: voxels that are not ignored.
    """

    probabilities: Tensor
    reference: Tensor
    valid: Tensor

    def mean_by_structure(self, values: Tensor) -> Tensor:
        """Mean over the voxels of the batch that are not ignored, shape ``(1, s)``; 0 where all are."""
        over = (0, *range(2, values.ndim))
        total = values.where(self.valid, 0).sum(over)
        return (total / self.valid.sum(over).clamp(min=1))[None]


def structure_maps(logits: Tensor, target: Tensor, *, exclusive: bool) -> StructureMaps:
    """Maps of the structures; see ``soft_counts`` for the shapes."""
    logits = single_precision(logits)
    if not exclusive:
        return StructureMaps(logits.sigmoid(), target == 1, target != IGNORE_INDEX)
    probabilities = logits.softmax(1)[:, 1:]
    index = torch.arange(1, logits.shape[1], device=logits.device).view(-1, *[1] * (logits.ndim - 2))
    valid = (target != IGNORE_INDEX)[:, None].expand_as(probabilities)
    return StructureMaps(probabilities, target[:, None] == index, valid)


def mean_over_structures(
    losses: Callable[[StructureMaps], Tensor],
    logits: Tensor,
    target: Tensor,
    class_weights: Tensor | None,
    *,
    exclusive: bool,
) -> Tensor:
    """Weighted mean of the losses that a formula gives the structures, whatever autocast says.

    Args:
        losses: From maps to one loss a structure, shape ``(1, s)``.
        logits: See ``soft_counts`` for the shapes.
        target: As well.
        class_weights: A weight for each output of the network, so background's first if exclusive (unused here).
        exclusive: Whether at most one structure holds in a voxel.
    """
    check_weights(class_weights, logits)
    with torch.autocast(logits.device.type, enabled=False):
        found = losses(structure_maps(logits, target, exclusive=exclusive))
    return weighted_mean(found, structure_weights(class_weights, exclusive=exclusive))
