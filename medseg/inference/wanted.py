"""Some of a model's targets, for who does not want all: what has to be decided for them, and what is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import PostprocessingSection
from medseg.core.errors import InputError
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, MultiLabelMap

from .restore import Prediction


def named_targets(scheme: LabelScheme, names: tuple[str, ...]) -> tuple[str, ...]:
    """The targets of those names, in the scheme's order; empty, for all, if none is named.

    Raises:
        InputError: If one is not a target; lists those that are.
    """
    if unknown := [name for name in names if name not in scheme.targets]:
        known = ", ".join(map(repr, scheme.targets))
        raise InputError(f"the model does not know a structure {unknown[0]!r}; it knows {known}")
    return tuple(name for name in scheme.targets if name in names)


def decided_targets(
    scheme: LabelScheme, wanted: tuple[str, ...], clean_up: PostprocessingSection | None
) -> tuple[str, ...]:
    """The targets that have to be decided, so that those that are wanted come out as they would among all.

    Clean-up may look at others: at those of a group, and at whatever lies in a hole that is filled.

    Args:
        scheme: All targets.
        wanted: Some of them; empty for all.
        clean_up: What is done to labels; None for nothing.

    Returns:
        Targets in the scheme's order; empty for all.
    """
    if not wanted or clean_up is None:
        return wanted
    names = set(wanted)
    for _ in clean_up.largest_together:  # a group may reach another one
        for group in clean_up.largest_together:
            names |= set(group) if names & set(group) else set()
    is_filled = scheme.is_exclusive and bool(names & set(clean_up.fill_holes))
    is_cut = not scheme.is_exclusive and bool(clean_up.largest_together)
    return () if is_filled or is_cut else tuple(name for name in scheme.targets if name in names)


def clean_up_of(clean_up: PostprocessingSection, targets: tuple[str, ...]) -> PostprocessingSection:
    """The clean-up of some targets, closed as ``decided_targets`` are."""
    return clean_up.model_copy(
        update={
            "largest_together": tuple(group for group in clean_up.largest_together if set(group) <= set(targets)),
            "largest_component": tuple(name for name in clean_up.largest_component if name in targets),
            "fill_holes": tuple(name for name in clean_up.fill_holes if name in targets),
        }
    )


def limited(prediction: Prediction, decided: LabelScheme, wanted: LabelScheme) -> Prediction:
    """A prediction of some targets without those that are not wanted.

    Args:
        prediction: Of the targets of ``decided``.
        decided: What the labels mean.
        wanted: The same scheme with some of its targets.
    """
    if decided.targets == wanted.targets:
        return prediction
    rows = [decided.targets.index(name) for name in wanted.targets]
    maps, labels = prediction.probabilities, prediction.labels
    return replace(
        prediction,
        labels=MultiLabelMap(labels.array[rows], labels.geometry, wanted.targets)
        if isinstance(labels, MultiLabelMap)
        else LabelMap(_only(labels.array, wanted.values), labels.geometry),
        probabilities=None if maps is None else maps[rows],
    )


def _only(array: NDArray[np.integer], values: tuple[int, ...]) -> NDArray[np.integer]:
    """The array with those values, and 0 in the place of all others."""
    table = np.zeros(int(array.max(initial=0)) + 1, array.dtype)
    kept = [value for value in values if value < len(table)]
    table[kept] = kept
    shown: NDArray[np.integer] = table[array]
    return shown
