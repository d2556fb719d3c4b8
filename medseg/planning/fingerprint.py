"""What a data set is like, as far as a plan depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import Case
from medseg.core.errors import DataError
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.transforms.body import AIR_HU, air_level, find_body

_SAMPLES_PER_CASE = 10_000


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Grids, foreground intensities and structure sizes of the training cases.

    Attributes:
        channels: Channel names, in order; a case may lack some.
        unit: Millimetres, or pixels for images without spacing.
        shapes: Voxels along right, anterior, superior, one row a case.
        spacings: Voxel size along the same axes, one row a case.
        foreground: Intensities inside the structures by channel, up to 10 000 a case; finite.
        voxels: Voxels of each target over all cases.
        nonzero_share: Median share of the volume that is left after cutting away zero borders.
        is_byte: Whether all images are 8-bit.
        lowest: Smallest value of each channel over all images.
        air_is_background: Whether no structure of any case lies in the air around a body.
    """

    channels: tuple[str, ...]
    unit: LengthUnit
    shapes: NDArray[np.int64]
    spacings: NDArray[np.float64]
    foreground: Mapping[str, NDArray[np.float32]]
    voxels: Mapping[str, int]
    nonzero_share: float
    is_byte: bool
    lowest: Mapping[str, float]
    air_is_background: bool = False

    @property
    def is_flat(self) -> bool:
        """Whether most images are single slices."""
        return bool(np.median(self.shapes, axis=0).min() == 1)


def fingerprint(cases: Iterable[Case], scheme: LabelScheme) -> Fingerprint:
    """Measure labelled cases one by one; none is kept in memory.

    Args:
        cases: The training cases.
        scheme: Their structures.

    Raises:
        DataError: If there is no labelled case, or no foreground voxel in any.
    """
    rows = [_measure(case, scheme, seed) for seed, case in enumerate(cases) if case.label is not None]
    if not rows:
        raise DataError("no labelled case to plan from")
    fullest = max(rows, key=lambda row: len(row.channels))
    channels = tuple(dict.fromkeys((*fullest.channels, *(name for row in rows for name in row.channels))))
    voxels = {target: sum(row.voxels[target] for row in rows) for target in scheme.targets}
    if not any(voxels.values()):
        raise DataError(f"no case holds any of the structures {', '.join(scheme.targets)}")
    return Fingerprint(
        channels,
        rows[0].unit,
        np.array([row.shape for row in rows]),
        np.array([row.spacing for row in rows]),
        {
            name: _finite(np.concatenate([row.foreground[name] for row in rows if name in row.channels]))
            for name in channels
        },
        voxels,
        float(np.median([row.nonzero_share for row in rows])),
        all(row.is_byte for row in rows),
        {name: min(row.lowest[name] for row in rows if name in row.channels) for name in channels},
        all(row.air_is_background for row in rows),
    )


@dataclass(frozen=True, eq=False)
class _Row:
    channels: tuple[str, ...]
    unit: LengthUnit
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    foreground: Mapping[str, NDArray[np.float32]]
    voxels: Mapping[str, int]
    nonzero_share: float
    is_byte: bool
    lowest: Mapping[str, float]
    air_is_background: bool


def _measure(case: Case, scheme: LabelScheme, seed: int) -> _Row:
    assert case.label is not None  # noqa: S101 - the caller filtered
    image, label = case.image.reoriented("RAS"), case.label.reoriented("RAS")
    union = np.zeros(image.geometry.shape, dtype=bool)
    voxels = {}
    for target in scheme.targets:
        mask = scheme.mask(label, target)
        voxels[target] = int(mask.sum())
        union |= mask
    inside = np.flatnonzero(union)
    chosen = np.random.default_rng(seed).choice(inside, min(_SAMPLES_PER_CASE, inside.size), replace=False)
    arrays = dict(zip(image.channels, image.array, strict=True))
    return _Row(
        image.channels,
        image.geometry.unit,
        image.geometry.shape,
        image.geometry.spacing,
        {name: array.reshape(-1)[chosen].astype(np.float32) for name, array in arrays.items()},
        voxels,
        _nonzero_share(image.array),
        image.array.dtype == np.uint8,
        {name: float(np.fmin.reduce(array, axis=None)) for name, array in arrays.items()},
        find_body(list(image.array), [_air_level(name, array) for name, array in arrays.items()]).holds(union),
    )


def _air_level(name: str, channel: NDArray[np.generic]) -> float:
    return AIR_HU if name.upper() == "CT" else air_level(channel)


def _finite(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples[np.isfinite(samples)]


def _nonzero_share(array: NDArray[np.generic]) -> float:
    nonzero = np.any(array, axis=0)
    share = 1.0
    for axis in range(3):
        present = np.flatnonzero(nonzero.any(axis=tuple(other for other in range(3) if other != axis)))
        share *= (present[-1] - present[0] + 1) / nonzero.shape[axis] if present.size else 1.0
    return share
