"""Probabilities and reference of each structure as maps, for the losses that look at where a voxel lies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.core.labels import IGNORE_INDEX

from .soft_counts import single_precision


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
