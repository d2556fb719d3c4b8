"""Voxel grids in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import GeometryError

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]

_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
_OWN_AXES = "ijk"
_TOLERANCE_MM = 1e-3
T = TypeVar("T", bound=np.generic)


class LengthUnit(Enum):
    """What one unit of the world axes is; scores are stated in it."""

    MM = "mm"
    PIXEL = "pixel"


@dataclass(frozen=True)
class AxisMap:
    """How to reorder and flip the axes of an array: ``array.transpose(order)``, then flip where ``flips`` is true."""

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def apply(self, array: NDArray[T]) -> NDArray[T]:
        """Array with its last three axes reordered and flipped; leading axes stay; a view, no copy."""
        lead = array.ndim - 3
        moved = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        steps = [slice(None)] * lead + [slice(None, None, -1 if flip else 1) for flip in self.flips]
        view: NDArray[T] = moved[tuple(steps)]
        return view

    def box(self, box: Box, shape: Shape) -> Box:
        """Where a box of an array of that shape lies after ``apply``; plain start and stop values."""
        parts = [
            slice(shape[axis] - box[axis].stop, shape[axis] - box[axis].start) if flip else box[axis]
            for axis, flip in zip(self.order, self.flips, strict=True)
        ]
        return parts[0], parts[1], parts[2]

    @property
    def inverse(self) -> AxisMap:
        """The map that undoes this one."""
        first, second, third = (self.order.index(axis) for axis in range(3))
        flips = (self.flips[first], self.flips[second], self.flips[third])
        return AxisMap((first, second, third), flips)


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in the patient: a shape, and an affine from voxel indices (centres) to RAS millimetres."""

    shape: Shape
    affine: NDArray[np.float64]
    unit: LengthUnit = LengthUnit.MM

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise GeometryError(f"affine must be 4x4, got {'x'.join(map(str, affine.shape))}")
        if not np.isfinite(affine).all():
            raise GeometryError("affine holds a value that is not finite")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryError("affine is singular: at least one voxel axis has no length or two axes coincide")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"shape must be three positive numbers, got {self.shape}")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @classmethod
    def from_spacing(cls, shape: Shape, spacing: Spacing = (1.0, 1.0, 1.0), unit: LengthUnit = LengthUnit.MM) -> Self:
        """Axis-aligned RAS grid whose first voxel lies at the origin."""
        return cls(shape, np.diag([*spacing, 1.0]), unit)

    @property
    def spacing(self) -> Spacing:
        """Voxel size along i, j, k."""
        size = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(size[0]), float(size[1]), float(size[2])

    @property
    def axis_codes(self) -> str:
        """Where i, j and k point to, as three letters; ``RAS`` is right, anterior, superior.

        For an oblique grid each array axis takes the world axis that it is closest to, strongest pair first.
        """
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        codes = ["", "", ""]
        strength = np.abs(directions)
        for _ in range(3):
            world, axis = np.unravel_index(int(np.argmax(strength)), (3, 3))
            codes[axis] = _LETTERS[world][int(directions[world, axis] > 0)]
            strength[world, :] = -1
            strength[:, axis] = -1
        return "".join(codes)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in cubic units (mm³ when the unit is mm)."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def diagonal(self) -> float:
        """Length of the grid's diagonal, in units of the world."""
        return float(np.linalg.norm(np.array(self.shape) * np.array(self.spacing)))

    def is_close(self, other: Geometry, tolerance_mm: float = _TOLERANCE_MM) -> bool:
        """Whether both grids have one shape and no voxel centre differs by more than ``tolerance_mm``."""
        return self.shape == other.shape and self.offset(other) <= tolerance_mm

    def offset(self, other: Geometry) -> float:
        """Largest distance between same-index voxel centres over the corners of this grid."""
        corners = np.array([[x * (n - 1) for x, n in zip(c, self.shape, strict=True)] for c in np.ndindex(2, 2, 2)])
        difference = self.affine - other.affine
        return float(np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1).max())

    def axis_map(self, codes: str) -> AxisMap:
        """The map that brings an array on this grid to the orientation ``codes``.

        Where these are ``i``, ``j`` and ``k``, they are the grid's own axes in that order, and nothing is flipped.
        """
        if sorted(codes) == sorted(_OWN_AXES):
            first, second, third = (_OWN_AXES.index(letter) for letter in codes)
            return AxisMap((first, second, third), (False, False, False))
        _check_codes(codes)
        mine = [_world_axis(letter) for letter in self.axis_codes]
        order = [mine.index(_world_axis(letter)) for letter in codes]
        flips = [self.axis_codes[axis] != letter for axis, letter in zip(order, codes, strict=True)]
        return AxisMap((order[0], order[1], order[2]), (flips[0], flips[1], flips[2]))

    def mapped(self, axes: AxisMap) -> Geometry:
        """The grid of an array after ``axes.apply``."""
        affine = self.affine.copy()
        affine[:, :3] = self.affine[:, list(axes.order)]
        shape = [self.shape[axis] for axis in axes.order]
        for axis, flip in enumerate(axes.flips):
            if flip:
                affine[:, 3] += affine[:, axis] * (shape[axis] - 1)
                affine[:, axis] *= -1
        return Geometry((shape[0], shape[1], shape[2]), affine, self.unit)

    def reoriented(self, codes: str) -> Geometry:
        """The same voxels with array axes that point to ``codes``."""
        return self.mapped(self.axis_map(codes))

    def cropped(self, box: Box) -> Geometry:
        """The grid of ``array[box]``; the box holds plain start and stop values."""
        start = np.array([part.start for part in box], dtype=np.float64)
        affine = self.affine.copy()
        affine[:3, 3] += self.affine[:3, :3] @ start
        shape = [part.stop - part.start for part in box]
        return Geometry((shape[0], shape[1], shape[2]), affine, self.unit)

    def resampled(self, spacing: Spacing) -> Geometry:
        """Grid over the same extent with voxels of about ``spacing``.

        Outer voxel *faces* stay where they are (not centres), the number of voxels is rounded and at least one.
        """
        size = [max(1, round(n * old / new)) for n, old, new in zip(self.shape, self.spacing, spacing, strict=True)]
        return self.with_shape((size[0], size[1], size[2]))

    def with_shape(self, shape: Shape) -> Geometry:
        """Grid of another shape over the same extent, outer voxel faces kept."""
        scale = np.array(self.shape, dtype=np.float64) / np.array(shape, dtype=np.float64)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * scale
        affine[:3, 3] = self.affine[:3, :3] @ (scale / 2 - 0.5) + self.affine[:3, 3]
        return Geometry(shape, affine, self.unit)


def _world_axis(letter: str) -> int:
    return next(axis for axis, letters in enumerate(_LETTERS) if letter in letters)


def _check_codes(codes: str) -> None:
    known = {letter for letters in _LETTERS for letter in letters}
    if len(codes) != 3 or not set(codes) <= known or len({_world_axis(letter) for letter in codes}) != 3:
        raise GeometryError(f"axis codes must be three of R/L, A/P, S/I, each world axis once, got {codes!r}")
