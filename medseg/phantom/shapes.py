"""Solids as fields over the body: negative inside, about the distance to the surface in mm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from medseg.core.geometry import Geometry

Points = NDArray[np.float32]
Field = NDArray[np.float32]
Position = tuple[float, float, float]

LONG_MM = 1e4
"""Radius of an ellipsoid that serves as a cylinder along that axis."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """A box that a solid does not leave, in mm."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def grown(self, by: float) -> Bounds:
        """The box with each face moved outwards by so many mm."""
        return Bounds(self.low - by, self.high + by)


class Solid(Protocol):
    """A shape in RAS millimetres."""

    @property
    def bounds(self) -> Bounds:
        """A box around the solid."""

    def field(self, points: Points) -> Field:
        """Negative inside, zero on the surface, and near it about the distance in mm.

        Args:
            points: Positions in mm, shape ``(3, ...)``.
        """


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """Ellipsoid, or with a larger exponent a body between ellipsoid and box.

    Attributes:
        centre: In mm.
        radii: Semi-axes in mm, before the turn.
        turn: Rotations about x, y, z in degrees.
        exponent: 2 is the ellipsoid proper.
    """

    centre: Position
    radii: Position
    turn: Position = (0.0, 0.0, 0.0)
    exponent: float = 2.0

    @property
    def volume(self) -> float:
        """Volume in mm³, 4/3 π abc; of the ellipsoid proper only."""
        return float(4 / 3 * np.pi * np.prod(self.radii))

    @property
    def bounds(self) -> Bounds:
        """A box around the turned box of the radii."""
        half = np.abs(_matrix(self.turn)) @ np.array(self.radii)
        centre = np.array(self.centre)
        return Bounds(centre - half, centre + half)

    def field(self, points: Points) -> Field:
        """First-order distance: the implicit function over the length of its gradient."""
        local = _local(points, self.centre, self.turn)
        radii = np.reshape(np.array(self.radii, dtype=np.float32), (3, *[1] * (points.ndim - 1)))
        scaled = np.abs(local / radii)
        if self.exponent == 2.0:
            radius = np.sqrt((scaled**2).sum(axis=0))
            slopes = scaled / radii
        else:
            radius = (scaled**self.exponent).sum(axis=0) ** (1 / self.exponent)
            slopes = (scaled / np.maximum(radius, 1e-6)) ** (self.exponent - 1) * radius / radii
        length = np.sqrt((slopes**2).sum(axis=0))
        distance: Field = (radius - 1) * radius / np.maximum(length, 1e-6)
        return np.where(radius < 1e-3, np.float32(-min(self.radii)), distance)


@dataclass(frozen=True, eq=False)
class Tube:
    """A round tube along a line of points, with a radius at each.

    Attributes:
        line: Two points or more, in mm.
        radii: One a point, in mm.
    """

    line: tuple[Position, ...]
    radii: tuple[float, ...]

    @property
    def bounds(self) -> Bounds:
        """A box around the balls at the points."""
        line, radii = np.array(self.line), np.array(self.radii)[:, None]
        return Bounds((line - radii).min(axis=0), (line + radii).max(axis=0))

    def field(self, points: Points) -> Field:
        """Distance to the line less the radius there."""
        nearest = np.full(points.shape[1:], np.inf, dtype=np.float32)
        for start in range(len(self.line) - 1):
            np.minimum(nearest, self._segment(points, start), out=nearest)
        return nearest

    def _segment(self, points: Points, start: int) -> Field:
        begin, end = (np.array(self.line[start + step], dtype=np.float32) for step in (0, 1))
        along = (end - begin) / np.float32(((end - begin) ** 2).sum())
        offset = points - np.reshape(begin, (3, *[1] * (points.ndim - 1)))
        share = np.clip(np.tensordot(along, offset, 1), 0, 1)
        away = offset - np.multiply.outer(end - begin, share)
        thickness = np.float32(self.radii[start]) + share * np.float32(self.radii[start + 1] - self.radii[start])
        distance: Field = np.sqrt((away**2).sum(axis=0)) - thickness
        return distance


@dataclass(frozen=True, eq=False)
class Joined:
    """The union of two solids, with a smooth crease of about ``blend`` mm."""

    one: Solid
    other: Solid
    blend: float

    @property
    def bounds(self) -> Bounds:
        """A box around both."""
        one, other = self.one.bounds, self.other.bounds
        return Bounds(np.minimum(one.low, other.low), np.maximum(one.high, other.high)).grown(self.blend / 4)

    def field(self, points: Points) -> Field:
        """Polynomial smooth minimum of both fields."""
        one, other = self.one.field(points), self.other.field(points)
        overlap = np.maximum(self.blend - np.abs(one - other), 0) / self.blend
        union: Field = np.minimum(one, other) - overlap**2 * np.float32(self.blend / 4)
        return union


@dataclass(frozen=True, eq=False)
class Common:
    """The part of ``solid`` that lies inside ``other``, or outside of it."""

    solid: Solid
    other: Solid
    outside: bool = False

    @property
    def bounds(self) -> Bounds:
        """The solid's box."""
        return self.solid.bounds

    def field(self, points: Points) -> Field:
        """Maximum of both fields, the other's negated where its outside is meant."""
        other = self.other.field(points)
        return np.maximum(self.solid.field(points), -other if self.outside else other)


@dataclass(frozen=True, eq=False)
class Inset:
    """A solid whose surface is moved inwards by ``depth`` mm (outwards if negative)."""

    solid: Solid
    depth: float

    @property
    def bounds(self) -> Bounds:
        """The solid's box, moved along."""
        return self.solid.bounds.grown(-self.depth)

    def field(self, points: Points) -> Field:
        """The solid's field, raised."""
        return self.solid.field(points) + np.float32(self.depth)


@dataclass(frozen=True, eq=False)
class Ripples:
    """A smooth random function of position: a sum of waves, about one in size.

    Attributes:
        vectors: Wave vectors in radians a mm, shape ``(waves, 3)``.
        phases: In radians, shape ``(waves,)``.
    """

    vectors: NDArray[np.float32]
    phases: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator, length: float, waves: int = 5) -> Ripples:
        """Waves in random directions whose lengths are about ``length`` mm."""
        directions = rng.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        vectors = directions * (2 * np.pi / (length * rng.uniform(0.8, 1.3, (waves, 1))))
        return cls(vectors.astype(np.float32), rng.uniform(0, 2 * np.pi, waves).astype(np.float32))

    def __call__(self, points: Points) -> Field:
        """Value at each point; its mean square is 1/2."""
        total = np.zeros(points.shape[1:], dtype=np.float32)
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            total += np.sin(np.tensordot(vector, points, 1) + phase)
        return total / np.float32(np.sqrt(len(self.phases)))


@dataclass(frozen=True, eq=False)
class Lumpy:
    """A solid with hills and dents of about ``height`` mm."""

    solid: Solid
    height: float
    ripples: Ripples = field(repr=False)

    @property
    def bounds(self) -> Bounds:
        """The solid's box with room for the highest hill."""
        return self.solid.bounds.grown(self.height * float(np.sqrt(len(self.ripples.phases))))

    def field(self, points: Points) -> Field:
        """The solid's field, moved up and down."""
        return self.solid.field(points) + np.float32(self.height) * self.ripples(points)


def voxel_centres(geometry: Geometry) -> Points:
    """Positions of all voxel centres in RAS mm, shape ``(3, i, j, k)``."""
    indices = np.indices(geometry.shape, dtype=np.float32)
    affine = geometry.affine.astype(np.float32)
    return np.tensordot(affine[:3, :3], indices, 1) + affine[:3, 3].reshape(3, 1, 1, 1)


def coverage(values: Field) -> Field:
    """How much of each voxel lies inside a solid, 0 to 1, from the solid's field at the voxel centres.

    The surface is taken as a plane in each voxel; the field's steps to the neighbours say how it leans. This is what
    gives a voxel on a boundary a value between both sides (partial volume).

    Args:
        values: The field, shape ``(i, j, k)``, at least two voxels along each axis.
    """
    steps = sum(np.abs(np.gradient(values, axis=axis)) for axis in range(3))
    share: Field = np.clip(0.5 - values / np.maximum(steps, 1e-6), 0, 1)
    return share


def _local(points: Points, centre: Position, turn: Position) -> Points:
    offset = points - np.reshape(np.array(centre, dtype=np.float32), (3, *[1] * (points.ndim - 1)))
    if not any(turn):
        return offset
    return np.tensordot(_matrix(turn).T.astype(np.float32), offset, 1)


def _matrix(turn: Position) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    return matrix
