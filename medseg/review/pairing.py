"""Two outlines of one image under one label scheme, so that they can be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError, LabelError
from medseg.core.labels import IGNORE_INDEX, LabelScheme, Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Labels, MultiLabelMap
from medseg.metrics.counts import target_mask
from medseg.metrics.crops import LabelPair


def paired(a: Segmentation, b: Segmentation) -> LabelPair:
    """Both outlines under one scheme; ``a`` is the pair's prediction and ``b`` its reference.

    Schemes of the same names and values stay as they are. Else the targets that both know by the same name are
    compared, in the order of ``a``; what only one side knows is background. Where regions or overlapping structures
    are among them, that takes a byte for each voxel and shared target on either side.

    Raises:
        GeometryError: If the grids differ.
        LabelError: If no target has the same name on both sides, or a value is not in its scheme.
    """
    _check_grids(a, b)
    if _meaning(a.scheme) == _meaning(b.scheme):
        return LabelPair.of(a.labels, b.labels, a.scheme)
    shared = _shared(a.scheme, b.scheme)
    if _is_plain(a) and _is_plain(b):
        scheme = LabelScheme(shared, ignore=IGNORE_INDEX)
        return LabelPair.of(_revalued(a, scheme), _revalued(b, scheme), scheme)
    scheme = LabelScheme(shared, overlapping=True)
    counted = ~(_ignored(a) | _ignored(b))
    return LabelPair.of(_masked(a, scheme, counted), _masked(b, scheme, counted), scheme)


def _check_grids(a: Segmentation, b: Segmentation) -> None:
    one, other = a.geometry, b.geometry
    if one.shape != other.shape:
        raise GeometryError(
            f"the outlines lie on different grids: shapes {one.shape} and {other.shape}; bring them to one grid"
        )
    if not one.is_close(other):
        apart = f"same-index voxels are up to {one.offset(other):.3g} mm apart"
        raise GeometryError(f"the outlines lie on different grids: {apart}; bring them to one grid")


def _meaning(scheme: LabelScheme) -> object:
    """What has to be equal for two label maps to say the same by the same values."""
    regions = {region.name: frozenset(region.structures) for region in scheme.regions}
    return {one.name: one.value for one in scheme.structures}, regions, scheme.ignore


def _shared(one: LabelScheme, other: LabelScheme) -> tuple[Structure, ...]:
    named = [structure for structure in one.target_structures if structure.name in other.targets]
    if not named:
        names = [", ".join(map(repr, scheme.targets)) for scheme in (one, other)]
        raise LabelError(f"no structure has the same name in both outlines: one has {names[0]}, the other {names[1]}")
    return tuple(replace(structure, value=place) for place, structure in enumerate(named, start=1))


def _is_plain(segmentation: Segmentation) -> bool:
    return isinstance(segmentation.labels, LabelMap) and not segmentation.scheme.regions


def _revalued(segmentation: Segmentation, scheme: LabelScheme) -> LabelMap:
    labels, own = segmentation.labels, segmentation.scheme
    assert isinstance(labels, LabelMap)  # noqa: S101 - plain
    table = np.zeros(IGNORE_INDEX + 1, np.uint8)
    for structure in scheme.structures:
        table[own.names.index(structure.name) + 1] = structure.value
    table[IGNORE_INDEX] = IGNORE_INDEX
    return LabelMap(table[own.class_indices(labels)], labels.geometry)


def _masked(segmentation: Segmentation, scheme: LabelScheme, counted: NDArray[np.bool_]) -> MultiLabelMap:
    masks = np.empty((len(scheme.names), *counted.shape), np.bool_)
    for mask, name in zip(masks, scheme.names, strict=True):
        np.logical_and(target_mask(segmentation.labels, segmentation.scheme, name), counted, out=mask)
    return MultiLabelMap(masks, segmentation.geometry, scheme.names)


def _ignored(segmentation: Segmentation) -> NDArray[np.bool_]:
    labels: Labels = segmentation.labels
    if isinstance(labels, LabelMap) and segmentation.scheme.ignore is not None:
        ignored: NDArray[np.bool_] = labels.array == segmentation.scheme.ignore
        return ignored
    return np.zeros(labels.geometry.shape, np.bool_)
