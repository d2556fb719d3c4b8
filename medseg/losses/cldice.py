"""Soft centre line Dice, for structures that have to hang together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .dice import SMOOTH
from .maps import StructureMaps, mean_over_structures

Extreme = Callable[[Tensor, Tensor], Tensor]


def soft_skeleton(image: Tensor, valid: Tensor, iterations: int) -> Tensor:
    """Centre line of a soft mask, as far as it is at most ``2 iterations + 1`` voxels thick; same shape.

    Ignored voxels and those beyond the border take part in nothing.

    Args:
        image: In [0, 1], shape ``(b, s, *spatial)``.
        valid: Bool, of the same shape: what is not ignored.
        iterations: How often it is eroded.

    References:
        Shit et al., 2021, CVPR, algorithm 1.
    """
    eroded = image
    thinner = _eroded(eroded, valid)
    line = torch.relu(eroded - _dilated(thinner, valid))
    for _ in range(iterations):
        eroded, thinner = thinner, _eroded(thinner, valid)
        ridge = torch.relu(eroded - _dilated(thinner, valid))
        line = line + torch.relu(ridge - line * ridge)
    return line


def cldice_losses(maps: StructureMaps, iterations: int) -> Tensor:
    """One minus the soft clDice of each structure over the batch, shape ``(1, s)``; 0 if absent and not predicted."""
    over = (0, *range(2, maps.valid.ndim))
    probabilities = maps.probabilities.where(maps.valid, 0)
    reference = (maps.reference & maps.valid).to(probabilities.dtype)
    found = soft_skeleton(probabilities, maps.valid, iterations).where(maps.valid, 0)
    true = soft_skeleton(reference, maps.valid, iterations).where(maps.valid, 0)
    precision = ((found * reference).sum(over) + SMOOTH) / (found.sum(over) + SMOOTH)
    sensitivity = ((true * probabilities).sum(over) + SMOOTH) / (true.sum(over) + SMOOTH)
    return (1 - 2 * precision * sensitivity / (precision + sensitivity))[None]


class ClDiceLoss(nn.Module):
    """Soft centre line Dice over the batch.

    Args:
        iterations: Erosions of the soft skeleton; at least the radius of the thickest structure in voxels.
        class_weights: A weight for each output of the network, so background's first if exclusive (unused here).
        exclusive: Whether classes exclude each other (softmax, class indices) or may overlap (sigmoid, multi-hot).

    References:
        Shit et al., 2021, CVPR, algorithms 1 and 2.
    """

    class_weights: Tensor | None

    def __init__(self, iterations: int = 3, class_weights: Tensor | None = None, *, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        self.losses = partial(cldice_losses, iterations=iterations)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1]; see ``soft_counts`` for the shapes."""
        return mean_over_structures(self.losses, logits, target, self.class_weights, exclusive=self.exclusive)


def _eroded(image: Tensor, valid: Tensor) -> Tensor:
    """Smallest value of each voxel and its neighbours along the axes."""
    return _extreme(image.where(valid, 1), tuple(range(2, image.ndim)), torch.minimum)


def _dilated(image: Tensor, valid: Tensor) -> Tensor:
    """Largest value of each voxel and all its neighbours, corners included."""
    largest = image.where(valid, 0)
    for axis in range(2, image.ndim):
        largest = _extreme(largest, (axis,), torch.maximum)
    return largest


def _extreme(image: Tensor, axes: tuple[int, ...], extreme: Extreme) -> Tensor:
    """Extreme of each voxel and its neighbours along some axes; beyond the border there are none."""
    found: Tensor = _Extreme.apply(image, axes, extreme)  # type: ignore[no-untyped-call]
    return found


def _neighbours(axes: tuple[int, ...], shape: torch.Size) -> Iterator[tuple[int, int, int, int]]:
    """Axis, first voxel, first neighbour and number of pairs, for both directions along each axis."""
    for axis in axes:
        for here, there in ((1, 0), (0, 1)):
            yield axis, here, there, shape[axis] - 1


class _Extreme(torch.autograd.Function):
    """Pooling without windows: several times as fast as ``max_pool3d`` on a CPU, there and back.

    The gradient goes to one of the voxels that have the extreme value.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, axes: tuple[int, ...], extreme: Extreme) -> Tensor:
        """Args: array ``(b, s, *spatial)``; axes along which neighbours lie; minimum or maximum."""
        found = image.clone()
        for axis, here, there, pairs in _neighbours(axes, image.shape):
            part = found.narrow(axis, here, pairs)
            part.copy_(extreme(part, image.narrow(axis, there, pairs)))
        ctx.save_for_backward(image, found)
        ctx.axes = axes
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """What a voxel did not get from itself it got from a neighbour."""
        image, found = ctx.saved_tensors
        back = gradient * (image == found)
        rest = gradient - back
        for axis, here, there, pairs in _neighbours(ctx.axes, image.shape):
            part = rest.narrow(axis, here, pairs)
            theirs = part * (image.narrow(axis, there, pairs) == found.narrow(axis, here, pairs))
            back.narrow(axis, there, pairs).add_(theirs)
            part.sub_(theirs)
        return back, None, None
