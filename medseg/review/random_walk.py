"""The random walk with priors: which voxels hold together with what is known, as the image has it.

References:
    Grady, 2005, CVPR, "Multilabel random walker image segmentation using prior models", equation 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

from medseg.core.volume import Volume

Floats = NDArray[np.float64]
_EDGES, _WEAKEST = 2.0, 1e-3
_TOLERANCE, _MOST_ROUNDS = 1e-3, 300
_MEDIAN_TO_DEVIATION = 1.4826


def random_walk(image: Volume, prior: Floats, known: Floats, certainty: float) -> Floats:
    """Probability that each voxel belongs to what is looked for, shape ``(i, j, k)``; always the same for the same.

    Args:
        image: All channels count; a step counts by what neighbours usually differ by in this image.
        prior: What is believed of each voxel, in [0, 1], shape ``(i, j, k)``.
        known: 1 or 0 where that is certain, NaN elsewhere, same shape.
        certainty: How much a belief weighs against one neighbour that looks the same.
    """
    weights = _neighbourhood(image)
    share = np.nan_to_num(known.ravel())
    free, fixed = np.flatnonzero(np.isnan(known)), np.flatnonzero(~np.isnan(known))
    if not free.size:
        return share.reshape(prior.shape)
    rows = weights[free]
    diagonal = rows.sum(axis=1) + certainty
    system = sparse.diags_array(diagonal, format="csr") - rows[:, free]
    right = certainty * prior.ravel()[free] + rows[:, fixed] @ share[fixed]
    conditioner = sparse.diags_array(1 / diagonal)
    start = prior.ravel()[free]
    share[free], _ = cg(system, right, x0=start, rtol=_TOLERANCE, maxiter=_MOST_ROUNDS, M=conditioner)
    return share.reshape(prior.shape)


def _neighbourhood(image: Volume) -> sparse.csr_array:
    """How much each voxel holds together with its six neighbours: a symmetric matrix."""
    shape, spacing = image.geometry.shape, image.geometry.spacing
    numbers: NDArray[np.int32] = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    befores, afters, values = [], [], []
    for axis, unlike in enumerate(_unlikeness(image)):
        nearness = (min(spacing) / spacing[axis]) ** 2
        values.append(((np.exp(-_EDGES * unlike) + _WEAKEST) * nearness).ravel())
        befores.append(np.delete(numbers, -1, axis).ravel())
        afters.append(np.delete(numbers, 0, axis).ravel())
    places = (np.concatenate([*befores, *afters]), np.concatenate([*afters, *befores]))
    return sparse.csr_array((np.concatenate([*values, *values]), places), shape=(numbers.size, numbers.size))


def _unlikeness(image: Volume) -> list[Floats]:
    """Squared difference of neighbours along each axis, over all channels, in terms of what is usual here."""
    channels = [[np.diff(one, axis=axis) for axis in range(3)] for one in np.nan_to_num(image.array.astype(np.float64))]
    usual = [_usual_step(steps) for steps in channels]
    return [
        np.sum([(steps[axis] / size) ** 2 for steps, size in zip(channels, usual, strict=True)], axis=0)
        for axis in range(3)
    ]


def _usual_step(steps: Sequence[Floats]) -> float:
    """Standard deviation of what neighbours differ by, by their median, so that edges hardly count; never 0."""
    sizes = np.abs(np.concatenate([step.ravel() for step in steps]))
    uneven = sizes[sizes > 0]
    return float(_MEDIAN_TO_DEVIATION * np.median(uneven)) if uneven.size else 1.0
