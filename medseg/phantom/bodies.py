"""CT-like images of invented bodies, with the label map that they were painted from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from medseg.core.anatomy import structures_of
from medseg.core.case import Case, CaseId
from medseg.core.geometry import Box, Geometry, Shape, Spacing
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Volume

from .anatomy import Anatomy, Part, Tissue, draw_anatomy
from .shapes import LONG_MM, Bounds, Ellipsoid, Field, Inset, Points, Ripples, Solid, coverage, voxel_centres

_NAMES = ("liver", "spleen", "left kidney", "right kidney", "aorta", "spine")
TORSO = LabelScheme(structures_of({name: index + 1 for index, name in enumerate(_NAMES)}))
"""The labelled structures of a torso, with their SNOMED CT codes."""

_FOAM, _CARBON = Tissue(-880), Tissue(60)
_AIR_HU, _LARGEST_HU = -1000.0, 3071.0
_MARGIN_VOXELS = 2
_BEND_MM, _BEND_LENGTH_MM = 4.0, 260.0


@dataclass(frozen=True)
class Exposure:
    """How one examination was taken.

    Attributes:
        contrast: Dose of contrast agent, 1 is usual.
        noise_hu: Standard deviation of the noise.
        roll_degrees: How far the patient lies turned on the table.
    """

    contrast: float = 1.0
    noise_hu: float = 18.0
    roll_degrees: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Exposure:
        """A random examination: 15 to 25 HU of noise, a roll of a few degrees."""
        return cls(float(rng.uniform(0.7, 1.2)), float(rng.uniform(15, 25)), float(rng.normal(0, 3)))


def torso(seed: int, shape: Shape = (96, 96, 44), spacing: Spacing = (4.0, 4.0, 5.0)) -> Case:
    """A random torso from the lower chest to the pelvis, with a label map of the scheme ``TORSO``.

    Args:
        seed: The same seed gives the same torso on the same grid.
        shape: Voxels along the axes, which point to L, P, S as in an axial CT series.
        spacing: Voxel size along them, mm. The default grid just holds the body.

    Returns:
        A case with one channel ``CT``, int16 HU.
    """
    rng = np.random.default_rng(seed)
    middle = (float(rng.normal(0, 4)), float(rng.normal(0, 4)), float(rng.normal(0, 6)))
    image, label = take_ct(draw_anatomy(rng), axial_grid(shape, spacing, middle), Exposure.draw(rng), rng)
    return Case(CaseId(f"torso-{seed}"), image, label)


def axial_grid(shape: Shape, spacing: Spacing, middle: tuple[float, float, float]) -> Geometry:
    """Grid with axes to L, P, S whose centre lies at ``middle``, in RAS mm."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = np.array(middle) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Geometry(shape, affine)


def take_ct(
    anatomy: Anatomy, grid: Geometry, exposure: Exposure, rng: np.random.Generator, scheme: LabelScheme = TORSO
) -> tuple[Volume, LabelMap]:
    """CT image of a body on a table, in int16 HU, and its label map.

    Args:
        anatomy: The body; its middle lies at the world's origin.
        grid: Axes to L, P, S.
        exposure: Contrast agent, noise, position.
        rng: For noise, texture and how the body bends this time.
        scheme: Structures that get a label; parts of others get none.
    """
    points = voxel_centres(grid)
    texture = _smooth_noise(rng, grid, 5.0)
    hu = np.full(grid.shape, _AIR_HU, dtype=np.float32)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    paint(_table(anatomy), points, (hu, labels), texture, 0.0, scheme)
    turned = _rolled(points, exposure.roll_degrees)
    paint(anatomy.parts, _bent(turned, rng), (hu, labels), texture, exposure.contrast, scheme)
    hu += np.float32(exposure.noise_hu) * _detector_noise(rng, grid.shape)
    pixels = np.clip(np.rint(hu), -1024, _LARGEST_HU).astype(np.int16)
    return Volume(pixels[None], grid, ("CT",)), LabelMap(labels, grid)


def paint(
    parts: Iterable[Part],
    points: Points,
    canvas: tuple[NDArray[np.float32], NDArray[np.uint8]],
    texture: NDArray[np.float32],
    contrast: float,
    scheme: LabelScheme = TORSO,
) -> None:
    """Paint parts one over the other; image values blend where a part covers a voxel in part, labels do not.

    Args:
        parts: From back to front.
        points: Position of each voxel in the body, mm, shape ``(3, i, j, k)``.
        canvas: HU and label values, shape ``(i, j, k)``; changed in place. A voxel's label is that of the last part
            whose solid holds the voxel's centre.
        texture: Unevenness with a standard deviation of one.
        contrast: Dose of contrast agent.
        scheme: Structures that get a label; parts of others get none.
    """
    hu, labels = canvas
    reach = _reach(points)
    for part in parts:
        box = _box(reach, part.solid.bounds, points.shape[1:])
        if box is None:
            continue
        values = part.solid.field(points[:, *box])
        tissue = part.tissue
        target = tissue.hu + contrast * tissue.enhancement + np.float32(tissue.texture) * texture[box]
        hu[box] += coverage(values) * (target - hu[box])
        labels[box][values < 0] = scheme[part.structure].value if part.structure in scheme.names else 0


def rasterise(solid: Solid, grid: Geometry) -> NDArray[np.bool_]:
    """The voxels whose centre lies inside a solid."""
    mask: NDArray[np.bool_] = solid.field(voxel_centres(grid)) < 0
    return mask


def _table(anatomy: Anatomy) -> tuple[Part, ...]:
    top = -anatomy.half_depth - 4
    board: Solid = Ellipsoid((0, top - 13, 0), (175, 13, LONG_MM), exponent=5)
    return Part(board, _CARBON), Part(Inset(board, 5), _FOAM)


def _rolled(points: Points, degrees: float) -> Points:
    matrix = Rotation.from_euler("z", degrees, degrees=True).as_matrix().astype(np.float32)
    return np.tensordot(matrix, points, 1)


def _bent(points: Points, rng: np.random.Generator) -> Points:
    """Positions shifted smoothly and at random, by some millimetres."""
    shifts = [Ripples.draw(rng, _BEND_LENGTH_MM, waves=3)(points) for _ in range(3)]
    return points + np.float32(_BEND_MM) * np.stack(shifts)


def _reach(points: Points) -> list[tuple[Field, Field]]:
    """Smallest and largest world coordinate of each plane of voxels, for the array axis that runs along it."""
    across = [tuple(other for other in range(3) if other != axis) for axis in range(3)]
    return [(points[axis].min(axis=across[axis]), points[axis].max(axis=across[axis])) for axis in range(3)]


def _box(reach: list[tuple[Field, Field]], bounds: Bounds, shape: tuple[int, ...]) -> Box | None:
    parts = []
    for axis, (low, high) in enumerate(reach):
        inside = np.flatnonzero((high >= bounds.low[axis]) & (low <= bounds.high[axis]))
        if not len(inside):
            return None
        stop = min(int(inside[-1]) + 1 + _MARGIN_VOXELS, shape[axis])
        parts.append(slice(max(int(inside[0]) - _MARGIN_VOXELS, 0), stop))
    return parts[0], parts[1], parts[2]


def _smooth_noise(rng: np.random.Generator, grid: Geometry, length_mm: float) -> NDArray[np.float32]:
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    return _unit(gaussian_filter(noise, [length_mm / size for size in grid.spacing]))


def _detector_noise(rng: np.random.Generator, shape: Shape) -> NDArray[np.float32]:
    return _unit(gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0.5, 0.5, 0)))


def _unit(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = noise / noise.std()
    return scaled
