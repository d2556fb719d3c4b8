"""Dice on the validation cases, shared among the processes of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels, MultiLabelMap, Volume
from medseg.data.cache import PreparedArrays
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice
from medseg.render.preview import preview

from .callbacks import ValidationReport
from .distributed import Process

Segment = Callable[[nn.Module, NDArray[np.float32]], NDArray[np.uint8]]
"""Class indices ``(i, j, k)`` or 0/1 masks ``(target, i, j, k)`` of an image ``(channel, i, j, k)``."""


class Validator:
    """Scores a network on whole preprocessed cases; each process takes every n-th.

    Args:
        cases: Preprocessed validation cases.
        scheme: The structures.
        segment: Turns an image into class indices or masks.
        process: Who this process is.
        at_most: Cases a validation, spread evenly over all, to keep it short.
    """

    def __init__(
        self,
        cases: Sequence[PreparedArrays],
        scheme: LabelScheme,
        segment: Segment,
        process: Process,
        at_most: int = 24,
    ) -> None:
        evenly = np.linspace(0, len(cases) - 1, min(at_most, len(cases)))
        self._cases = [cases[round(index)] for index in evenly.tolist()]
        self._scheme = _index_scheme(scheme)
        self._segment = segment
        self._process = process

    def __call__(self, network: nn.Module) -> ValidationReport:
        """Mean Dice by structure over the cases that hold it or were given it."""
        mine = range(self._process.rank, len(self._cases), self._process.world_size)
        scores = torch.full((len(self._cases), len(self._scheme.targets)), 0.0, dtype=torch.float64)
        for index in mine:
            scores[index] = torch.from_numpy(self._score(network, self._cases[index]))
        table = self._process.sum(scores).numpy() if self._cases else scores.numpy()
        means = {name: _mean(table[:, column]) for column, name in enumerate(self._scheme.targets)}
        picture = partial(self._picture, network) if self._cases else None
        return ValidationReport(0, means, _mean(np.array([*means.values()])), picture)

    def _score(self, network: nn.Module, case: PreparedArrays) -> NDArray[np.float64]:
        predicted = self._segment(network, case.image)
        ignored = case.target == 255
        one, other = (self._labels(np.where(ignored, 0, array)) for array in (predicted, case.target))
        return dice(count_voxels(one, other, self._scheme))

    def _labels(self, array: NDArray[np.uint8]) -> Labels:
        geometry = Geometry.from_spacing((array.shape[-3], array.shape[-2], array.shape[-1]))
        if array.ndim == 4:
            return MultiLabelMap(array == 1, geometry, self._scheme.targets)
        return LabelMap(array.astype(np.uint8), geometry)

    def _picture(self, network: nn.Module) -> NDArray[np.uint8]:
        case = self._cases[0]
        labels = self._labels(self._segment(network, case.image))
        image = Volume(np.asarray(case.image[:1]), labels.geometry)
        return np.asarray(preview(image, labels, self._scheme))


def _index_scheme(scheme: LabelScheme) -> LabelScheme:
    """The targets under the values 1 … n, as preprocessed targets have them."""
    structures = enumerate(scheme.target_structures, start=1)
    return LabelScheme(
        tuple(replace(one, value=value) for value, one in structures), overlapping=not scheme.is_exclusive
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of what is a number; NaN if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
