"""Tversky loss."""

from __future__ import annotations

from torch import Tensor, nn

from .dice import SMOOTH
from .soft_counts import check_weights, soft_counts, structure_weights, weighted_mean


class TverskyLoss(nn.Module):
    """Dice with its own weights for false positives and false negatives; over the batch, without the background.

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives; 0.5 and 0.5 is Dice.
        class_weights: A weight for each output of the network, so background's first if exclusive (unused here).
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Salehi et al., 2017, MLMI, equation 3.
    """

    class_weights: Tensor | None

    def __init__(self, alpha: float, beta: float, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.alpha = alpha
        self.beta = beta
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1]; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        counts = soft_counts(logits, target, exclusive=self.exclusive).structures(exclusive=self.exclusive)
        false_positives = counts.predicted - counts.overlap
        false_negatives = counts.reference - counts.overlap
        found = counts.overlap + SMOOTH
        index = found / (found + self.alpha * false_positives + self.beta * false_negatives)
        return 1 - weighted_mean(index, structure_weights(self.class_weights, exclusive=self.exclusive))
