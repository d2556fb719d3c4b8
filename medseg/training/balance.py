"""What the training cases make of a configuration's wish for balance: weights in the loss, chances to be drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.data.balance import class_weights, count_class_voxels, pair_chances
from medseg.data.cache import PreparedArrays


def loss_weights(config: RunConfig, cases: Sequence[PreparedArrays]) -> tuple[float, ...] | None:
    """The weights of ``training.class_weights``, counted on the training cases where the configuration gives a rule.

    Returns:
        One for each output of the network; None for all ones.
    """
    wanted = config.training.class_weights
    if wanted is None or isinstance(wanted, tuple):
        return wanted
    counted = count_class_voxels(cases, len(label_scheme(config.labels).targets))
    return class_weights(wanted, counted, config.training.class_weight_ratio)


def patch_chances(config: RunConfig, cases: Sequence[PreparedArrays]) -> NDArray[np.float64]:
    """Chance of each case and target to be what a patch is centred on, shape ``(cases, targets)``; sums to 1 or 0."""
    sampling, targets = config.sampling, label_scheme(config.labels).targets
    weights = [sampling.structure_weights.get(name, 1.0) for name in targets]
    if sampling.balance == "voxel":
        voxels = count_class_voxels(cases, len(targets)).voxels[:, -len(targets) :]
    else:
        voxels = np.array([[len(found) for found in case.foreground] for case in cases], dtype=np.int64)
    return pair_chances(voxels, sampling.balance, weights)


def balance_notes(
    config: RunConfig, cases: Sequence[PreparedArrays], weights: tuple[float, ...] | None
) -> tuple[str, ...]:
    """Lines for the user: which share of the patches goes where, and the weights in the loss if there are any."""
    scheme = label_scheme(config.labels)
    chances = dict(zip(scheme.targets, patch_chances(config, cases).sum(0).tolist(), strict=True))
    centred = ", ".join(f"{name} {100 * chance:.3g} %" for name, chance in chances.items())
    notes = [f"patches: {100 * config.sampling.foreground:.3g} % are centred on a structure, and of these on {centred}"]
    if weights is not None:
        names = ("background", *scheme.targets) if scheme.is_exclusive else scheme.targets
        pairs = zip(names, weights, strict=False)
        notes.append("weights in the loss: " + ", ".join(f"{name} {weight:.3g}" for name, weight in pairs))
    return tuple(notes)
