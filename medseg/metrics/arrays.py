"""Scores for those who bring plain arrays and a spacing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import CaseId
from medseg.core.errors import GeometryError, LabelError
from medseg.core.geometry import Geometry, LengthUnit, Shape, Spacing
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels, MultiLabelMap

from .table import ScoreSettings, StructureScore, score_case

Array = NDArray[Any]
Names = Mapping[str, int] | Sequence[str]


def score_arrays(
    predicted: Array,
    reference: Array,
    spacing: Sequence[float] | None = None,
    names: Names | None = None,
    settings: ScoreSettings | None = None,
) -> tuple[StructureScore, ...]:
    """Every score of every structure in two arrays; see ``score_case`` and ``StructureScore``.

    Args:
        predicted: Label values, shape ``(i, j)`` or ``(i, j, k)``; or, where structures overlap, one mask a structure,
            shape ``(structure, i, j)`` or ``(structure, i, j, k)``. Bool, integers, or floats that are whole numbers.
        reference: Of the same shape.
        spacing: Voxel size along each axis, in mm, in the order of the axes; None to measure in pixels.
        names: ``{name: value}`` for label values, a list of names for one mask a structure; None for the values that
            there are, named ``structure 1`` and so on.
        settings: What defines the scores; by default an NSD tolerance of 1 and the like.

    Returns:
        One row a structure, in the order of the names; their ``case`` is empty. A structure that a side lacks has the
        scores that ``metrics.empties`` decides.

    Raises:
        GeometryError: If the shapes differ, or spacing and array have different numbers of axes.
        LabelError: If an array holds fractions, NaN or a value without a name, or there is no structure to score.
    """
    one, other = np.asarray(predicted), np.asarray(reference)
    if one.shape != other.shape:
        raise GeometryError(f"predicted {one.shape} and reference {other.shape} differ in shape")
    masks = names is not None and not isinstance(names, Mapping)
    grid = _grid(one.shape[1:] if masks else one.shape, spacing)
    if names is not None and not isinstance(names, Mapping):
        scheme = LabelScheme.from_names({name: value for value, name in enumerate(names, start=1)})
        sides = [_masks(array, grid, scheme.names) for array in (one, other)]
    else:
        maps = [LabelMap(_whole(array).reshape(grid.shape), grid) for array in (one, other)]
        scheme = LabelScheme.from_names(_values(maps) if names is None else names)
        sides = list[Labels](maps)
    return score_case(CaseId(""), sides[0], sides[1], scheme, settings)


def _grid(shape: tuple[int, ...], spacing: Sequence[float] | None) -> Geometry:
    if len(shape) not in (2, 3):
        raise GeometryError(f"scores are of 2 or 3 axes, got an array of {len(shape)}")
    if spacing is not None and (len(spacing) != len(shape) or not all(side > 0 for side in spacing)):
        raise GeometryError(f"spacing is one number above 0 an axis, got {tuple(spacing)} for {len(shape)} axes")
    sides, size = [*((1.0, 1.0, 1.0) if spacing is None else spacing), 1.0], [*shape, 1]
    whole: Shape = (size[0], size[1], size[2])
    edges: Spacing = (float(sides[0]), float(sides[1]), float(sides[2]))
    return Geometry.from_spacing(whole, edges, LengthUnit.PIXEL if spacing is None else LengthUnit.MM)


def _masks(array: Array, grid: Geometry, names: tuple[str, ...]) -> Labels:
    if len(array) != len(names):
        raise LabelError(f"there are {len(names)} names for {len(array)} masks; give one mask a structure")
    if not np.isin(array, (0, 1)).all():
        raise LabelError("a mask holds 0 and 1 only; name label values by {name: value}")
    return MultiLabelMap(array.astype(np.bool_).reshape(len(names), *grid.shape), grid, names)


def _whole(array: Array) -> NDArray[np.integer]:
    """The array as integers."""
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if np.issubdtype(array.dtype, np.integer):
        return array
    odd = array[array != np.rint(array)]  # NaN differs from itself
    if odd.size:
        raise LabelError(f"an array holds fractions such as {odd[0]:g}; label values are whole numbers")
    values: NDArray[np.integer] = array.astype(np.int64)
    return values


def _values(maps: Sequence[LabelMap]) -> dict[str, int]:
    """Names for the values that either side holds."""
    found = sorted({int(value) for one in maps for value in np.unique(one.array)} - {0})
    if not found:
        raise LabelError("neither array holds a structure; name those to score")
    return {f"structure {value}": value for value in found}
