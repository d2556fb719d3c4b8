"""Cross-entropy."""

from __future__ import annotations

from torch import Tensor, nn

from .soft_counts import SoftCounts, check_weights, soft_counts


def cross_entropy(counts: SoftCounts, class_weights: Tensor | None) -> Tensor:
    """Weighted mean surprise of the voxels, 0 if all are ignored; background included."""
    log_likelihood, voxels = counts.log_likelihood.sum(0), counts.voxels.sum(0)
    if class_weights is not None:
        log_likelihood, voxels = log_likelihood * class_weights, voxels * class_weights
    return -log_likelihood.sum() / voxels.sum().clamp(min=1e-12)


class CrossEntropyLoss(nn.Module):
    """Mean surprise of the voxels that are not ignored: categorical if exclusive, else binary for each structure.

    Args:
        class_weights: A weight for each output of the network; background's first if exclusive.
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar, in nats; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        return cross_entropy(soft_counts(logits, target, exclusive=self.exclusive), self.class_weights)
