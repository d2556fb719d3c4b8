"""The prediction as a version, which all later ones go on from."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from medseg.core.errors import LabelError
from medseg.core.volume import Labels, Volume

from .edits import changed_ml, volumes_ml
from .kept_outlines import kept_outlines, structures_of
from .open_case import OpenCase
from .outline_reading import empty_labels
from .records import Reader, Version
from .rows import NewVersion
from .store import Store
from .vault import Vault

_NOBODY = "prediction"


def prediction_version(store: Store, vault: Vault, case: OpenCase, actor: Reader) -> Version:
    """The version that holds the prediction of an open case, kept if it was not.

    The first prediction is version 0. Another one, of a model that ran later, becomes a version of its own that goes on
    from version 0; what readers saved meanwhile stays as it is.

    Args:
        store: Where versions are kept.
        vault: Where labels are kept.
        case: The case, which the store knows.
        actor: Who opened it, for the log.

    Raises:
        InputError: As ``Store.add_version``.
        OutputError: If it cannot be kept.
    """
    name, labels = case.files.name, case.prediction.labels
    author = case.files.record.model.name or _NOBODY
    sha256, versions = vault.put(labels), store.versions(name)
    for one in versions:
        if one.sha256 == sha256 and (one.parent is None or one.author == author):
            return one
    volumes, image = volumes_ml(case.prediction), image_digest(case.volume)
    structures = structures_of(case.scheme)
    if not versions:
        new = NewVersion(name, None, author, sha256, volumes, input_sha256=image, structures=structures)
        return store.add_version(new, actor)
    first = versions[0]
    changed = changed_ml(labels, _first_outlines(store, vault, case, first), case.scheme)
    new = NewVersion(name, first.number, author, sha256, volumes, changed, image, structures=structures)
    return store.add_version(new, actor)


def _first_outlines(store: Store, vault: Vault, case: OpenCase, first: Version) -> Labels:
    """Version 0, or nothing at all if it held other structures than the case has now."""
    try:
        return kept_outlines(store, vault, case, first)
    except LabelError:
        return empty_labels(case.scheme, case.volume.geometry)


def image_digest(volume: Volume) -> str:
    """SHA-256 of an image's voxels, type, channels and grid, in hexadecimal digits."""
    grid = volume.geometry
    dtype = volume.array.dtype.newbyteorder("<")
    facts = [dtype.str, volume.channels, grid.shape, (grid.affine + 0.0).tolist(), grid.unit.value]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for channel in volume.array:
        for k in range(grid.shape[2]):
            digest.update(np.ascontiguousarray(channel[:, :, k].T, dtype).data)
    return digest.hexdigest()
