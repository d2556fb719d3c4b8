"""Soft true positives, predicted and reference volumes: counted once, every overlap loss derives from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medseg.core.errors import ConfigError
from medseg.core.labels import IGNORE_INDEX


@dataclass(frozen=True, eq=False)
class SoftCounts:
    """Sums over the voxels that are not ignored, per sample and class; every field has the shape ``(b, c)``.

    Attributes:
        overlap: Probability of the class, summed where it is the reference.
        predicted: Probability of the class, summed everywhere.
        reference: Number of voxels of the class.
        log_likelihood: Sum of the log-probabilities of what the reference says.
        voxels: Number of voxels in that sum.
    """

    overlap: Tensor
    predicted: Tensor
    reference: Tensor
    log_likelihood: Tensor
    voxels: Tensor

    def structures(self, *, exclusive: bool, per_sample: bool = False) -> SoftCounts:
        """The structures alone (without the background, which exclusive classes begin with), over the batch or not."""
        parts = (self.overlap, self.predicted, self.reference, self.log_likelihood, self.voxels)
        kept = [part[:, 1:] if exclusive else part for part in parts]
        return SoftCounts(*(part if per_sample else part.sum(0, keepdim=True) for part in kept))


def soft_counts(logits: Tensor, target: Tensor, *, exclusive: bool) -> SoftCounts:
    """Soft counts of a batch, in single precision at least, whatever autocast says.

    Args:
        logits: Shape ``(b, c, *spatial)``. Exclusive: background first, a softmax follows; else a sigmoid.
        target: Exclusive: class indices, shape ``(b, *spatial)``; else 0 or 1, shape ``(b, c, *spatial)``. 255 is
            ignored.
        exclusive: Whether at most one structure holds in a voxel.

    Returns:
        One column a class: ``c`` of them, background included.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = single_precision(logits)
        return _softmax_counts(logits, target) if exclusive else _sigmoid_counts(logits, target)


def single_precision(logits: Tensor) -> Tensor:
    """Half precision becomes single; double stays."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def weighted_mean(scores: Tensor, class_weights: Tensor | None) -> Tensor:
    """Mean over samples and classes, shape ``(b, c)``; the classes count by their weights."""
    if class_weights is None:
        return scores.mean()
    return (scores * class_weights).sum(1).mean() / class_weights.sum()


def structure_weights(class_weights: Tensor | None, *, exclusive: bool) -> Tensor | None:
    """Weights of the structures: without the first, the background's, if the classes are exclusive."""
    return class_weights[1:] if exclusive and class_weights is not None else class_weights


def check_weights(class_weights: Tensor | None, logits: Tensor) -> None:
    """Refuse weights that are not one for each channel of the logits.

    Raises:
        ConfigError: With both numbers.
    """
    if class_weights is not None and len(class_weights) != logits.shape[1]:
        raise ConfigError(
            f"training.class_weights has {len(class_weights)} values, the network has {logits.shape[1]} outputs; "
            "give one for each (background first, unless structures overlap)"
        )


def _softmax_counts(logits: Tensor, target: Tensor) -> SoftCounts:
    batch, classes, rows = logits.shape[:3]
    index = target.reshape(batch, rows, -1)
    valid = index != IGNORE_INDEX
    index = index.where(valid, 0).long()
    flat = logits.reshape(batch, classes, rows, -1)
    overlap, predicted, log_likelihood = _SoftmaxSums.apply(flat, index, valid)  # type: ignore[no-untyped-call]
    reference = _sum_by_class(valid.to(logits.dtype), index, classes)
    return SoftCounts(overlap, predicted, reference, log_likelihood, reference)


def _sigmoid_counts(logits: Tensor, target: Tensor) -> SoftCounts:
    flat, target = logits.flatten(2), target.flatten(2)
    probabilities = flat.sigmoid()
    valid = (target != IGNORE_INDEX).to(flat.dtype)
    present = (target == 1).to(flat.dtype)
    surprise = F.binary_cross_entropy_with_logits(flat, present, reduction="none")
    return SoftCounts(
        (probabilities * present).sum(2),
        (probabilities * valid).sum(2),
        present.sum(2),
        -(surprise * valid).sum(2),
        valid.sum(2),
    )


def _sum_by_class(values: Tensor, index: Tensor, classes: int) -> Tensor:
    """Sums of ``values`` by class, ``(b, i, r)`` to ``(b, c)``; row by row, so that single precision stays exact."""
    sums = values.new_zeros(*values.shape[:2], classes)
    return sums.scatter_add_(2, index, values).sum(1)


class _SoftmaxSums(torch.autograd.Function):
    """Overlap, predicted and log-likelihood of a softmax, with the gradient written out.

    One array of the logits' size is made on the way forward and one on the way back; autograd's own chain makes eight.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Args: logits ``(b, c, i, r)``; class index ``(b, i, r)``, 0 where ignored; mask of what counts."""
        classes = logits.shape[1]
        log_probabilities = logits.log_softmax(1)
        log_true = log_probabilities.gather(1, index[:, None])[:, 0] * valid
        probabilities = log_probabilities.exp_().mul_(valid[:, None])
        true = probabilities.gather(1, index[:, None])[:, 0]
        ctx.save_for_backward(probabilities, true, index, valid)
        return (
            _sum_by_class(true, index, classes),
            probabilities.sum((2, 3)),
            _sum_by_class(log_true, index, classes),
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """With p the probabilities, t the true class: p (g_predicted - s) and at t in addition the term e of t alone.

        e = p_t g_overlap[t] + g_likelihood[t], and s = e + sum over the classes of p g_predicted.
        """
        probabilities, true, index, valid = ctx.saved_tensors
        overlap, predicted, likelihood = gradients
        flat = index.flatten(1)
        extra = true * overlap.gather(1, flat).view_as(true)
        extra += likelihood.gather(1, flat).view_as(true) * valid
        with torch.autocast(true.device.type, enabled=False):
            shared = torch.bmm(predicted[:, None], probabilities.flatten(2)).view_as(true) + extra
        gradient = predicted[:, :, None, None] - shared[:, None]
        gradient.mul_(probabilities).scatter_add_(1, index[:, None], extra[:, None])
        return gradient, None, None
