"""The channels of a case brought onto one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import RunConfig
from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import Volume
from medseg.transforms.regrid import covered_share, regridded

LEAST_COVERED = 0.25
"""Channels that cover less of the reference are refused."""
WELL_COVERED = 0.75
"""Channels that cover less of the reference deserve a look."""
SAME_GRID_MM = 1e-3
"""How far voxels of two channels may lie apart on what counts as one grid."""


@dataclass(frozen=True)
class Joining:
    """How channels come together.

    Attributes:
        optional: Channels that a case may lack.
        reference: The channel onto whose grid the others are resampled; None if all have to lie on one grid.
    """

    optional: frozenset[str] = frozenset()
    reference: str | None = None

    @classmethod
    def of(cls, config: RunConfig) -> Joining:
        """As a configuration says."""
        optional = frozenset(channel.name for channel in config.channels if channel.optional)
        return cls(optional, config.preprocessing.reference)


@dataclass(frozen=True)
class Placement:
    """How the grid of a channel lies on the reference's.

    Attributes:
        covered: Share of the reference's volume that the channel covers.
        distance_mm: Between the centres of both.
    """

    covered: float
    distance_mm: float

    def __str__(self) -> str:
        return f"covers {self.covered:.0%} of it, {self.distance_mm:.3g} mm between their centres"


@dataclass(frozen=True, eq=False)
class Joined:
    """Channels on one grid.

    Attributes:
        volume: The channels that are there, in order.
        moved: Those that were resampled, and how they lay.
    """

    volume: Volume
    moved: Mapping[str, Placement] = field(default_factory=dict)


def join(
    parts: Mapping[str, Volume],
    joining: Joining,
    frames: Mapping[str, str] | None = None,
    tolerance_mm: float = SAME_GRID_MM,
) -> Joined:
    """Channels in one volume, on the grid of the reference, or of the first if there is none.

    Channels may be stored in another orientation (axes swapped or flipped) and are turned. One that lies on another
    grid is resampled if there is a reference, and refused if there is none: a shift of a fraction of a voxel looks like
    an error of some tool, and only a person can tell.

    Args:
        parts: A volume of one channel each, at least one, in the order wanted.
        joining: How they come together.
        frames: Frame of reference of those channels whose files name one.
        tolerance_mm: How far voxels may lie apart on what counts as one grid.

    Raises:
        GeometryError: If grids differ without a reference, or a channel covers less than a quarter of the reference,
            lies in another frame of reference, or is a picture without a place in the patient.
    """
    first = next((name for name in parts if name == joining.reference), next(iter(parts)))
    grid = parts[first].geometry
    volumes, moved = [], {}
    for name, part in parts.items():
        turned = part.reoriented(grid.axis_codes)
        if not grid.is_close(turned.geometry, tolerance_mm):
            _check_comparable(parts, (first, name), joining, frames or {})
            moved[name] = _checked_placement(grid, part.geometry, (first, name))
            turned = Volume(regridded(part.array[0], part.geometry, grid)[np.newaxis], grid, part.channels)
        volumes.append(turned.array)
    return Joined(Volume(_stacked(volumes), grid, tuple(parts)), moved)


def placement(reference: Geometry, other: Geometry) -> Placement:
    """How a grid lies on the reference's."""
    return Placement(covered_share(other, reference), float(np.linalg.norm(_centre(reference) - _centre(other))))


def _check_comparable(
    parts: Mapping[str, Volume], names: tuple[str, str], joining: Joining, frames: Mapping[str, str]
) -> None:
    """Refuse to resample what nobody asked for, or what has no common coordinates."""
    both = f"channels {names[0]!r} and {names[1]!r}"
    one, other = (parts[name] for name in names)
    if joining.reference is None or one.geometry.unit is LengthUnit.PIXEL or other.geometry.unit is LengthUnit.PIXEL:
        turned = other.reoriented(one.geometry.axis_codes)
        hint = "; set preprocessing.reference to the channel that the others are to be resampled onto"
        raise GeometryError(grid_difference(one, turned, both) + (hint if joining.reference is None else ""))
    known = {frame for name in names if (frame := frames.get(name))}
    if len(known) > 1:
        raise GeometryError(
            f"{both} lie on different grids in different frames of reference, so that their coordinates cannot be "
            "compared; register them first"
        )


def _checked_placement(grid: Geometry, other: Geometry, names: tuple[str, str]) -> Placement:
    found = placement(grid, other)
    if found.covered < LEAST_COVERED:
        raise GeometryError(
            f"channel {names[1]!r} does not lie on {names[0]!r} (it {found}); "
            "check that both are of one examination, or register them first"
        )
    return found


def _centre(grid: Geometry) -> NDArray[np.float64]:
    centre: NDArray[np.float64] = grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]
    return centre


def _stacked(arrays: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """The channels in one array; of their type if they share it, else as float32."""
    if len(arrays) == 1:
        return arrays[0]
    types = {array.dtype for array in arrays}
    return np.concatenate(arrays, dtype=types.pop() if len(types) == 1 else np.float32, casting="unsafe")
