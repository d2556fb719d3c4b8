"""Tversky loss, plain and focal."""

from __future__ import annotations

from torch import Tensor, nn

from .dice import SMOOTH
from .soft_counts import SoftCounts, check_weights, soft_counts, structure_weights, weighted_mean

_LEAST_LOSS = 1e-7
"""Added below the root of the focal loss, whose slope is infinite at 0."""


def tversky_losses(counts: SoftCounts, alpha: float, beta: float) -> Tensor:
    """One minus the Tversky index of each sample and structure, in [0, 1]; 0 where it is absent and not predicted.

    Args:
        counts: Of the structures.
        alpha: Weight of false positives.
        beta: Weight of false negatives.
    """
    false_positives = (counts.predicted - counts.overlap).clamp(min=0)
    false_negatives = (counts.reference - counts.overlap).clamp(min=0)
    wrong = alpha * false_positives + beta * false_negatives
    return wrong / (counts.overlap + SMOOTH + wrong)


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
        losses = tversky_losses(counts, self.alpha, self.beta)
        return weighted_mean(losses, structure_weights(self.class_weights, exclusive=self.exclusive))


class FocalTverskyLoss(nn.Module):
    """Tversky loss of each structure to the power ``1 / gamma``, so that structures nearly learned still count.

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        gamma: 1 is the Tversky loss; the paper takes 4/3 out of 1 to 3.
        class_weights: A weight for each output of the network, so background's first if exclusive (unused here).
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Abraham and Khan, 2019, ISBI (where alpha is the weight of false negatives).
    """

    class_weights: Tensor | None

    def __init__(
        self, alpha: float, beta: float, gamma: float = 4 / 3, class_weights: Tensor | None = None, *, exclusive: bool
    ) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.alpha = alpha
        self.beta = beta
        self.exponent = 1 / gamma
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1]; see ``soft_counts`` for the shapes."""
        check_weights(self.class_weights, logits)
        counts = soft_counts(logits, target, exclusive=self.exclusive).structures(exclusive=self.exclusive)
        losses = tversky_losses(counts, self.alpha, self.beta)
        focal = (losses + _LEAST_LOSS) ** self.exponent - _LEAST_LOSS**self.exponent
        return weighted_mean(focal, structure_weights(self.class_weights, exclusive=self.exclusive))
