"""Stored values as labels: whole numbers, masks, the smallest type that holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import LabelError
from medseg.core.volume import LabelMap, MultiLabelMap, Volume


def as_label_map(values: Volume) -> LabelMap:
    """The label map that a file's one channel holds; whole numbers stored as floats become integers.

    Raises:
        LabelError: If it holds fractions, or several channels.
    """
    if len(values.channels) > 1:
        raise LabelError(f"holds {len(values.channels)} channels; a label map holds one value a voxel")
    return LabelMap(_whole_numbers(values.array[0]), values.geometry)


def as_multi_label_map(values: Volume, structures: tuple[str, ...]) -> MultiLabelMap:
    """The masks that a file's channels hold, one a structure.

    Raises:
        LabelError: If there are not as many as structures, or one holds more than two values.
    """
    if len(values.channels) != len(structures):
        names = ", ".join(structures)
        raise LabelError(f"holds {len(values.channels)} masks for {len(structures)} structures ({names})")
    masks = np.empty(values.array.shape, dtype=np.bool_)
    for index, name in enumerate(structures):
        mask = _whole_numbers(values.array[index])
        masks[index] = mask != 0
        if (masks[index] & (mask != mask.max())).any():
            raise LabelError(f"mask {index} ({name}) holds more values than 0 and one other")
    return MultiLabelMap(masks, values.geometry, structures)


def _whole_numbers(array: NDArray[Any]) -> NDArray[np.integer[Any]]:
    if np.issubdtype(array.dtype, np.integer):
        return array
    odd = array[array != np.rint(array)]  # NaN differs from itself
    if odd.size:
        raise LabelError(f"holds fractions such as {odd[0]:g}; a label map holds whole numbers")
    largest = float(np.abs(array).max())
    if largest > np.iinfo(np.int32).max:
        raise LabelError(f"holds values as large as {largest:g}; a label map holds small whole numbers")
    return array.astype(_smallest_integer(int(array.min()), int(array.max())))


def _smallest_integer(low: int, high: int) -> np.dtype[np.integer[Any]]:
    types = (np.uint8, np.uint16, np.uint32) if low >= 0 else (np.int16, np.int32)
    fitting = (kind for kind in types if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return np.dtype(next(fitting, np.int64))


def narrow(labels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """The labels as they are, or integers of 64 bits in the smallest type that holds them, unsigned if possible."""
    if labels.dtype.itemsize < 8:
        return labels
    return labels.astype(_smallest_integer(int(labels.min()), int(labels.max())))
