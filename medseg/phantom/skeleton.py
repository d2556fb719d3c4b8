"""Bones: a spine with vertebrae and their processes, and a cage of slanted ribs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .shapes import LONG_MM, Bounds, Ellipsoid, Field, Points, Solid

_PITCH = 34.0
_RIB_GAP = 30.0
_RIB_SLOPE = 0.7


@dataclass(frozen=True, eq=False)
class RibCage:
    """Bands of bone on the inner side of the body wall, lower in front than behind, ending at the costal margin.

    Attributes:
        wall: The surface that the ribs lie on.
        half_depth: Half of the body's depth, mm.
        shift: Height of the first rib, mm.
        scale: Size of the body.
    """

    wall: Solid
    half_depth: float
    shift: float
    scale: float

    @property
    def bounds(self) -> Bounds:
        """The wall's box."""
        return self.wall.bounds.grown(8)

    def field(self, points: Points) -> Field:
        """Distance to the nearest band."""
        y, z = points[1], points[2]
        gap = np.float32(_RIB_GAP * self.scale)
        height = z + np.float32(_RIB_SLOPE) * y + np.float32(self.shift)
        from_band = np.abs((height + gap / 2) % gap - gap / 2) - np.float32(5.5 * self.scale)
        from_wall = np.abs(self.wall.field(points) - 4) - np.float32(3.4)
        above_margin = (-40 - z) + np.maximum(y, 0) * np.float32(1.1)
        cage: Field = np.maximum(np.maximum(from_band, from_wall), above_margin)
        return cage


def spine_column(x: float, y: float, scale: float) -> Solid:
    """What runs through between the vertebrae: discs and ligaments."""
    return Ellipsoid((x, y, 0), (21 * scale, 16 * scale, LONG_MM), exponent=2.6)


def vertebrae(rng: np.random.Generator, x: float, y: float, scale: float) -> Iterator[Solid]:
    """Bodies, arches and processes from the lower chest to the pelvis."""
    pitch = _PITCH * scale
    start = float(rng.uniform(-0.5, 0.5)) * pitch
    for step in range(-6, 7):
        z = start + step * pitch
        yield _piece(x, y, z, (23.5, 18, 13), scale, exponent=4)
        yield _piece(x, y - 27 * scale, z - 4, (16, 13, 10), scale)
        yield _piece(x, y - 27 * scale, z - 4, (40, 5, 5.5), scale)
        yield _piece(x, y - 48 * scale, z - 9, (4.5, 17, 9), scale)


def _piece(x: float, y: float, z: float, radii: tuple[float, float, float], scale: float, exponent: float = 2) -> Solid:
    a, b, c = (radius * scale for radius in radii)
    return Ellipsoid((x, y, z), (a, b, c), exponent=exponent)
