"""Edits that are kept: a new version of a case's outlines, with what they measure and what changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError, InputError, LabelError
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Labels, MultiLabelMap

from .kept_outlines import kept_outlines, structures_of
from .label_stream import labels_digest
from .open_case import OpenCase
from .records import Reader, Version
from .rows import NewVersion
from .store import Store
from .vault import Vault

_MM3_PER_ML = 1000.0
Mask = NDArray[np.bool_]


def save_version(store: Store, vault: Vault, case: OpenCase, base: Version, labels: Labels, reader: Reader) -> Version:
    """Keep edited labels as a version that goes on from ``base``; on return it cannot be lost.

    The labels are in the vault before the database speaks of them. Saving the same once more gives the version that is
    there. Two readers who save at the same time get two versions.

    Args:
        store: Where versions are kept, with an entry in the log.
        vault: Where labels are kept.
        case: The case.
        base: The version that the reader began with.
        labels: On the image's grid.
        reader: Who made them.

    Raises:
        InputError: If the base is another case's, or nothing was changed.
        GeometryError: If the labels lie on another grid.
        LabelError: If they are of another kind than the prediction, or hold values that are no structure's; or if the
            base was drawn with other structures than the case has now.
        OutputError: If they cannot be kept.
    """
    _check(case, base, labels)
    sha256 = labels_digest(labels)
    if sha256 == base.sha256:
        raise InputError(f"nothing was changed since version {base.number}, so there is nothing to save")
    saved = _saved_before(store, base, sha256, reader)
    if saved is not None:
        return saved
    before = kept_outlines(store, vault, case, base)
    new = NewVersion(
        base.case,
        base.number,
        reader.name,
        vault.put(labels),
        volumes_ml(Segmentation(labels, case.scheme)),
        changed_ml(labels, before, case.scheme),
        base.input_sha256,
        structures=structures_of(case.scheme),
    )
    return store.add_version(new, reader)


def volumes_ml(segmentation: Segmentation) -> Mapping[str, float]:
    """Volume of each target in mL; empty for images in pixels."""
    ml = _voxel_ml(segmentation.labels)
    return {} if ml is None else {one.name: int(np.count_nonzero(mask)) * ml for one, mask in segmentation.masks()}


def changed_ml(labels: Labels, before: Labels, scheme: LabelScheme) -> Mapping[str, float]:
    """Of each target, the volume that was added or removed, in mL: of ``labels`` xor ``before``.

    Returns:
        Every target, 0 where nothing changed; empty for images in pixels.
    """
    ml = _voxel_ml(labels)
    if ml is None:
        return {}
    return {
        target: int(np.count_nonzero(scheme.mask(labels, target) ^ scheme.mask(before, target))) * ml
        for target in scheme.targets
    }


def reverted(labels: Labels, original: Labels, scheme: LabelScheme, target: str) -> Labels:
    """The labels with one target as it was.

    Voxels that the target lost get it back, whatever is there now; voxels that it gained become what they were. Of a
    label map with all its targets reverted, one after the other, the original is left.

    Args:
        labels: As they are.
        original: As they were; of the same kind, on the same grid.
        scheme: What they hold.
        target: What is to be as it was.

    Raises:
        LabelError: If one of them is a label map and the other is not, or there is no such target.
    """
    if isinstance(labels, MultiLabelMap) and isinstance(original, MultiLabelMap):
        masks = labels.array.copy()
        masks[_row(labels, target)] = original.array[_row(original, target)]
        return MultiLabelMap(masks, labels.geometry, labels.structures)
    if isinstance(labels, LabelMap) and isinstance(original, LabelMap):
        touched = scheme.mask(labels, target) | scheme.mask(original, target)
        return LabelMap(np.where(touched, original.array, labels.array), labels.geometry)
    raise LabelError("masks that may overlap cannot be reverted to a label map, nor the other way round")


def _row(labels: MultiLabelMap, target: str) -> int:
    if target not in labels.structures:
        raise LabelError(f"no outlines of {target!r}; there are {', '.join(labels.structures)}")
    return labels.structures.index(target)


def _voxel_ml(labels: Labels) -> float | None:
    grid = labels.geometry
    return grid.voxel_volume / _MM3_PER_ML if grid.unit is LengthUnit.MM else None


def _check(case: OpenCase, base: Version, labels: Labels) -> None:
    if base.case != case.files.name:
        raise InputError(f"version {base.number} is not of case {case.files.name}")
    if not labels.geometry.is_close(case.volume.geometry):
        raise GeometryError(grid_difference(case.volume, labels, "image and outlines"))
    predicted = case.prediction.labels
    if isinstance(labels, MultiLabelMap):
        if not isinstance(predicted, MultiLabelMap) or labels.structures != predicted.structures:
            raise LabelError("the outlines are not of the structures of this case")
    elif isinstance(predicted, MultiLabelMap):
        raise LabelError("the structures of this case may overlap, so their outlines are no label map")
    else:
        _check_values(case.scheme, labels, predicted)


def _check_values(scheme: LabelScheme, labels: LabelMap, predicted: LabelMap) -> None:
    """Values that the scheme does not name may stay where they are, and come nowhere else."""
    ignored = () if scheme.ignore is None else (scheme.ignore,)
    changed = labels.array.T[(labels.array != predicted.array).T]  # in the order in which they lie in memory
    if not np.isin(changed, (0, *scheme.values, *ignored)).all():
        raise LabelError("the outlines hold a value that is no structure's")


def _saved_before(store: Store, base: Version, sha256: str, reader: Reader) -> Version | None:
    """The reader's newest version if it already is the one to save."""
    mine = [one for one in store.versions(base.case) if one.author == reader.name]
    newest = max(mine, key=lambda one: one.number, default=None)
    return newest if newest is not None and (newest.parent, newest.sha256) == (base.number, sha256) else None
