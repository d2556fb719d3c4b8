"""Livers with lesions that fill a small, known share of the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.core.anatomy import structures_of
from medseg.core.case import Case, CaseId
from medseg.core.geometry import Shape, Spacing
from medseg.core.labels import LabelScheme

from .anatomy import Anatomy, Part, Tissue, draw_anatomy
from .bodies import Exposure, axial_grid, take_ct
from .shapes import Ellipsoid, Points, Solid

LIVER_LESIONS = LabelScheme(structures_of({"liver": 1, "lesion": 2}))
"""The labelled structures of a case with lesions."""

_LEAST, _MOST = 4, 8
_SIZE_SPREAD, _SHAPE_SPREAD = 0.6, 0.12
_PLACES = 4000
_MARGIN_MM = 3.0


def lesion_case(
    seed: int, shape: Shape = (96, 96, 44), spacing: Spacing = (4.0, 4.0, 5.0), share: float = 0.001
) -> Case:
    """A random torso with four to eight dark lesions in its liver; the liver's label is cut out where a lesion is.

    Args:
        seed: The same seed gives the same case on the same grid.
        shape: Voxels along the axes, which point to L, P, S as in an axial CT series.
        spacing: Voxel size along them, mm. The default grid just holds the body.
        share: Of the image's volume that all lesions fill together, up to what voxels and the bend of the body change.

    Returns:
        A case with one channel ``CT``, int16 HU, and labels of the scheme ``LIVER_LESIONS``.
    """
    rng = np.random.default_rng((seed, 1))
    anatomy = draw_anatomy(rng)
    total = share * float(np.prod(shape)) * float(np.prod(spacing))
    lesions = tuple(Part(solid, _tissue(rng), "lesion") for solid in _lesions(_liver(anatomy), total, rng))
    grid = axial_grid(shape, spacing, (0.0, 0.0, float(rng.normal(0, 6))))
    ill = replace(anatomy, parts=(*anatomy.parts, *lesions))
    image, label = take_ct(ill, grid, Exposure.draw(rng), rng, LIVER_LESIONS)
    return Case(CaseId(f"lesions-{seed}"), image, label)


def _liver(anatomy: Anatomy) -> Solid:
    """The organ itself, which is painted before its vessels."""
    return next(part.solid for part in anatomy.parts if part.structure == "liver")


def _tissue(rng: np.random.Generator) -> Tissue:
    """About 40 HU darker than an enhanced liver."""
    return Tissue(float(rng.uniform(40, 60)), enhancement=10, texture=4)


def _lesions(liver: Solid, volume: float, rng: np.random.Generator) -> list[Ellipsoid]:
    """Ellipsoids of this volume in mm³ together: deep in the liver and apart from each other, where there is room."""
    sizes = np.exp(rng.normal(0, _SIZE_SPREAD, int(rng.integers(_LEAST, _MOST + 1))))
    radii = np.sort(np.cbrt(volume * sizes / sizes.sum() * 3 / (4 * np.pi)))[::-1]
    places, depths = _places(liver, rng)
    found: list[Ellipsoid] = []
    taken: list[tuple[NDArray[np.float32], float]] = []
    for radius in radii.tolist():
        room = depths.copy()
        for centre, other in taken:
            room = np.minimum(room, np.linalg.norm(places - centre[:, None], axis=0) - other)
        enough = np.flatnonzero(room > radius + _MARGIN_MM)
        chosen = int(rng.choice(enough)) if enough.size else int(room.argmax())
        taken.append((places[:, chosen], radius))
        found.append(_ellipsoid(places[:, chosen], radius, rng))
    return found


def _places(liver: Solid, rng: np.random.Generator) -> tuple[Points, NDArray[np.float32]]:
    """Random points of the liver's box, shape ``(3, n)``, and how many mm below its surface they are."""
    low, high = liver.bounds.low[:, None], liver.bounds.high[:, None]
    places = rng.uniform(low, high, (3, _PLACES)).astype(np.float32)
    return places, -liver.field(places)


def _ellipsoid(centre: NDArray[np.float32], radius: float, rng: np.random.Generator) -> Ellipsoid:
    """Of the volume of a ball of that radius."""
    factors = np.exp(rng.normal(0, _SHAPE_SPREAD, 3))
    a, b, c = (radius * factors / np.cbrt(factors.prod())).tolist()
    (x, y, z), (roll, pitch, yaw) = centre.tolist(), rng.uniform(0, 180, 3).tolist()
    return Ellipsoid((x, y, z), (a, b, c), (roll, pitch, yaw))
