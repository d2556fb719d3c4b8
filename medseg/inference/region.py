"""Predicting in a part of an image: the part is cut out, and what is found in it is laid out on the whole grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import GeometryError
from medseg.core.geometry import Box, Geometry, Shape
from medseg.core.volume import LabelMap, Labels, MultiLabelMap, Volume

from .restore import Prediction

T = TypeVar("T", bound=np.generic)


def in_region(volume: Volume, box: Box) -> Volume:
    """The part of a volume in a box of its grid; a view, no copy.

    Args:
        volume: On its own grid.
        box: Plain start and stop values, inside the grid.

    Raises:
        GeometryError: If the box holds no voxel, or reaches beyond the grid.
    """
    _check(box, volume.geometry.shape)
    return volume.cropped(box)


def embedded(prediction: Prediction, box: Box, grid: Geometry) -> Prediction:
    """The same prediction on a larger grid: outside the box all is background, with probability and entropy 0.

    Args:
        prediction: Of what lies in the box.
        box: Plain start and stop values, inside the grid.
        grid: The whole grid.

    Returns:
        A new prediction; the same one if the box is the whole grid.

    Raises:
        GeometryError: If the box does not lie in the grid, or is not the prediction's size.
    """
    _check(box, grid.shape)
    if _shape_of(box) != prediction.labels.geometry.shape:
        raise GeometryError(
            f"a prediction of {prediction.labels.geometry.shape} voxels does not fit a box of {_shape_of(box)}"
        )
    if _shape_of(box) == grid.shape:
        return prediction
    probabilities, entropy = prediction.probabilities, prediction.entropy
    return replace(
        prediction,
        labels=_embedded_labels(prediction.labels, box, grid),
        probabilities=None if probabilities is None else _padded(probabilities, box, grid.shape),
        entropy=None if entropy is None else _padded(entropy, box, grid.shape),
    )


def _shape_of(box: Box) -> Shape:
    i, j, k = (part.stop - part.start for part in box)
    return i, j, k


def _check(box: Box, shape: Shape) -> None:
    inside = all(0 <= part.start < part.stop <= length for part, length in zip(box, shape, strict=True))
    if not inside:
        ranges = ", ".join(f"{part.start} to {part.stop}" for part in box)
        raise GeometryError(f"a region of voxels {ranges} does not lie in a grid of {shape}")


def _embedded_labels(labels: Labels, box: Box, grid: Geometry) -> Labels:
    if isinstance(labels, LabelMap):
        return LabelMap(_padded(labels.array, box, grid.shape), grid)
    return MultiLabelMap(_padded(labels.array, box, grid.shape), grid, labels.structures)


def _padded(array: NDArray[T], box: Box, shape: Shape) -> NDArray[T]:
    """An array over a box on the whole grid, zero around it; leading axes stay."""
    whole_array = np.zeros((*array.shape[:-3], *shape), array.dtype)
    whole_array[(..., *box)] = array
    return whole_array
