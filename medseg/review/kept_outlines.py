"""Outlines that were kept, of a case whose structures may have been others then.

Of a label map only numbers are kept; what they meant stands beside each version and each draft. A case gets other
structures when a model is run on one that came without outlines, or when somebody changes ``labels.json``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from medseg.core.errors import LabelError
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels, MultiLabelMap

from .drafts import Draft
from .makers import is_reader
from .open_case import OpenCase
from .outline_reading import empty_labels
from .records import Version
from .store import Store
from .vault import Vault


def structures_of(scheme: LabelScheme) -> dict[str, int]:
    """The value of each structure, as it is kept with outlines."""
    return dict(zip(scheme.names, scheme.values, strict=True))


def kept_outlines(store: Store, vault: Vault, case: OpenCase, version: Version) -> Labels:
    """The outlines of a version, whose values mean what the case's structures say.

    A prediction may be named anew, for its own file is read with the names that the case has now.

    Raises:
        LabelError: If they were drawn with other structures than the case has now.
        InputError: If the vault lacks them.
        ReadError: If the vault is damaged.
        GeometryError: If they lie on another grid than the image.
    """
    labels = vault.get(version.sha256, case.volume.geometry)
    why = _difference(case, labels, store.structures_of(version), version.volumes_ml)
    if not why or _is_prediction(case, version, labels):
        return labels
    if not labels.array.any():
        return empty_labels(case.scheme, case.volume.geometry)
    raise LabelError(f"version {version.number} was drawn with other structures than the case has now: {why}")


def check_draft(store: Store, case: OpenCase, draft: Draft, base: Version) -> None:
    """Make sure that strokes mean what the case's structures say.

    Raises:
        LabelError: If they were drawn with other structures than the case has now.
    """
    why = _difference(case, draft.labels, draft.structures or store.structures_of(base), base.volumes_ml)
    if why:
        raise LabelError(f"your strokes were drawn with other structures than the case has now: {why}; discard them")


def _is_prediction(case: OpenCase, version: Version, labels: Labels) -> bool:
    predicted = case.prediction.labels
    is_alike = type(labels) is type(predicted) and np.array_equal(labels.array, predicted.array)
    return is_alike and not is_reader(version.author)


def _difference(case: OpenCase, labels: Labels, held: Mapping[str, int], measured: Collection[str]) -> str:
    """What is not as in the case, in words.

    Args:
        case: The case.
        labels: On its grid.
        held: The value of each structure then; empty if nobody kept it.
        measured: Names of the structures then, for want of the values; empty if nobody measured.
    """
    now = structures_of(case.scheme)
    if isinstance(labels, MultiLabelMap) is not isinstance(case.prediction.labels, MultiLabelMap):
        return "structures that may overlap became such that may not, or the other way round"
    if isinstance(labels, MultiLabelMap):
        return _odd_name(labels.structures, now, is_whole=True)
    if not held:
        return _odd_name(measured, now, is_whole=True) if measured else ""
    moved = next((name for name, value in held.items() if now.get(name, value) != value), None)
    if moved is not None:
        return f"{moved!r} had the value {held[moved]} and has {now[moved]}"
    return _odd_name(held, now, is_whole=False)


def _odd_name(then: Collection[str], now: Collection[str], *, is_whole: bool) -> str:
    gone = next((name for name in then if name not in now), None)
    new = next((name for name in now if name not in then), None) if is_whole else None
    if gone is not None:
        return f"{gone!r} is none of them"
    return "" if new is None else f"{new!r} was none of them"
