"""Boundary loss."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from .distance import surface_distance
from .maps import StructureMaps, mean_over_structures


def boundary_losses(maps: StructureMaps, reach: int) -> Tensor:
    """Mean over the voxels of the error times the signed distance to the surface, shape ``(1, s)``, in voxels.

    The surface lies half a voxel from the centres beside it, so that a structure of one voxel costs something too. The
    reference's own integral is taken off, which changes no gradient and makes a perfect prediction 0.

    Args:
        maps: Of the structures.
        reach: Distances beyond it count as it; so do those to a structure that is not there.
    """
    distance = surface_distance(maps.reference, maps.valid, reach)
    signed = (distance.outside - 0.5).where(~maps.reference, 0.5 - distance.inside)
    return maps.mean_by_structure(signed * (maps.probabilities - maps.reference.to(maps.probabilities.dtype)))


class BoundaryLoss(nn.Module):
    """Boundary loss of the batch's structures.

    Args:
        reach: Largest distance in voxels that it tells apart.
        class_weights: A weight for each output of the network, so background's first if exclusive (unused here).
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Kervadec et al., 2019, MIDL; 2021, Medical Image Analysis 67:101851.
    """

    class_weights: Tensor | None

    def __init__(self, reach: int = 10, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.losses = partial(boundary_losses, reach=reach)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar, not below 0; see ``soft_counts`` for the shapes."""
        return mean_over_structures(self.losses, logits, target, self.class_weights, exclusive=self.exclusive)
