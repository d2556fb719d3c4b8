"""Hausdorff loss."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from .distance import surface_distance
from .maps import StructureMaps, mean_over_structures


def hausdorff_losses(maps: StructureMaps, alpha: float, reach: int) -> Tensor:
    """Mean over the voxels of the squared error times the distances to both surfaces, shape ``(1, s)``.

    Args:
        maps: Of the structures; predicted is what has a probability above 0.5.
        alpha: Power of the distances.
        reach: Distances beyond it count as it; so do those to a structure that is not there.
    """
    predicted = maps.probabilities.detach() > 0.5
    masks, valid = torch.cat([maps.reference, predicted], 1), torch.cat([maps.valid, maps.valid], 1)
    distance = surface_distance(masks, valid, reach)
    # One of both is 0 in each voxel that counts.
    true, found = (distance.outside + distance.inside).pow(alpha).chunk(2, 1)
    error = maps.probabilities - maps.reference.to(maps.probabilities.dtype)
    return maps.mean_by_structure(error.square() * (true + found))


class LogHausdorffLoss(nn.Module):
    """``log(1 + Hausdorff loss)`` of the batch's structures.

    The Hausdorff loss is the one by distance transforms of reference and prediction; the logarithm keeps far errors
    from drowning all others.

    Args:
        alpha: Power of the distances; larger is closer to the largest distance alone.
        reach: Largest distance in voxels that it tells apart.
        class_weights: A weight for each output of the network, so background's first if exclusive (unused here).
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Karimi and Salcudean, 2020, IEEE Transactions on Medical Imaging 39:499 (arXiv:1904.10030); the
        logarithm is MONAI's ``LogHausdorffDTLoss``.
    """

    class_weights: Tensor | None

    def __init__(
        self, alpha: float = 2.0, reach: int = 10, class_weights: Tensor | None = None, *, exclusive: bool
    ) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.losses = partial(hausdorff_losses, alpha=alpha, reach=reach)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar, not below 0; see ``soft_counts`` for the shapes."""
        mean = mean_over_structures(self.losses, logits, target, self.class_weights, exclusive=self.exclusive)
        return mean.log1p()
