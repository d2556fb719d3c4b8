"""pydeface's head template and face mask (MIT, see data/PYDEFACE_LICENSE.txt), and the grids that it is compared on.

Everything here lies upright: index order ``(x, y, z)`` along right, anterior, superior, in RAS millimetres. A volume is
brought to such a grid first, so that nothing after it has to know of oblique slices, flipped axes or LPS.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, distance_transform_edt, gaussian_filter

from medseg.core.errors import DeidError
from medseg.core.geometry import Shape
from medseg.core.volume import Volume
from medseg.io.formats import read_volume

_SPACING_MM = 2.0
_PAD_VOXELS = 20
_CLIPPED_PERCENTILES = (1.0, 99.5)
_BODY_LEVEL, _BODY_PERCENTILE = 0.12, 98.0

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Upright:
    """Values on a grid along the world's axes, and where the image has any.

    Attributes:
        values: float32, shape ``(x, y, z)``.
        seen: Same shape; false outside of the field of view.
        origin: Centre of the first voxel, RAS mm.
        spacing: The same along all axes, mm.
    """

    values: Floats
    seen: Mask
    origin: Matrix
    spacing: float

    @property
    def shape(self) -> Shape:
        """Voxels along each axis."""
        x, y, z = self.values.shape
        return x, y, z

    @property
    def affine(self) -> Matrix:
        """Voxel indices to RAS millimetres."""
        return affine_of(np.eye(3) * self.spacing, self.origin)

    @functools.cached_property
    def body(self) -> Mask:
        """Seen voxels that are brighter than air."""
        return self.seen & (self.values > self.body_level)

    @functools.cached_property
    def body_level(self) -> float:
        """What is brighter is no air."""
        return _BODY_LEVEL * float(np.percentile(self.values[self.seen], _BODY_PERCENTILE))

    def points(self, mask: Mask) -> Matrix:
        """Centres of the voxels of a mask, shape ``(point, 3)``, RAS mm."""
        centres: Matrix = np.argwhere(mask) * self.spacing + self.origin
        return centres

    def coarser(self, factor: int) -> Upright:
        """Every ``factor``-th voxel along each axis, after smoothing."""
        smooth = gaussian_filter(self.values, factor / 2.355, mode="nearest", truncate=3)
        cut = (slice(None, None, factor),) * 3
        return Upright(smooth[cut], self.seen[cut], self.origin, self.spacing * factor)

    def sampled(self, to_world: Matrix, shape: Shape, outside: float | None = None) -> Floats:
        """Values at the points ``to_world @ index``; beyond the border the border's value, or ``outside``."""
        return _interpolated(self.values, np.linalg.inv(self.affine) @ to_world, shape, outside)


@dataclass(frozen=True, eq=False)
class Template:
    """The head on grids of 2, 4 and 8 mm, and how far each point lies from the face.

    Attributes:
        fine: Around and above the head it goes on as air; below the neck it ends.
        middle: See ``fine``.
        coarse: See ``fine``.
        face_distance: In mm; where the head's image ends, the face goes on.
    """

    fine: Upright
    middle: Upright
    coarse: Upright
    face_distance: Upright


@functools.cache
def template() -> Template:
    """The bundled template; read once."""
    head, face = _bundled("face_template.nii.gz"), _bundled("face_mask.nii.gz")
    first, pad = head.geometry.affine[:3, 3], _PAD_VOXELS * _SPACING_MM
    around = ((_PAD_VOXELS, _PAD_VOXELS),) * 3
    values = np.pad(head.array[0].astype(np.float32), (*around[:2], (0, _PAD_VOXELS)))
    no_face = np.pad(face.array[0] == 0, around, mode="edge")
    distance = (distance_transform_edt(no_face) * _SPACING_MM).astype(np.float32)
    fine = Upright(values, np.ones(values.shape, np.bool_), first - [pad, pad, 0], _SPACING_MM)
    face_distance = Upright(distance, np.ones(distance.shape, np.bool_), first - pad, _SPACING_MM)
    return Template(fine, fine.coarser(2), fine.coarser(4), face_distance)


def upright(volume: Volume) -> Upright:
    """The first channel on a grid of 2 mm, from 0 to 255; the darkest and the brightest values are clipped.

    Raises:
        DeidError: If the image is of one grey.
    """
    array, affine = _block_means(
        np.nan_to_num(volume.array[0].astype(np.float32), copy=False, posinf=0, neginf=0), volume
    )
    low, high = np.percentile(array, _CLIPPED_PERCENTILES).astype(np.float32)
    if not low < high:
        raise DeidError("no head can be found in an image of one grey")
    array = (np.clip(array, low, high) - low) * (255 / (high - low))
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(array.shape) - 1) @ affine[:3, :3].T + affine[:3, 3]
    origin = corners.min(axis=0)
    x, y, z = (np.ptp(corners, axis=0) // _SPACING_MM + 1).astype(int).tolist()
    matrix = np.linalg.inv(affine) @ affine_of(np.eye(3) * _SPACING_MM, origin)
    values, seen = _interpolated(array, matrix, (x, y, z)), _inside(array.shape, matrix, (x, y, z))
    return Upright(values, seen, origin, _SPACING_MM)


def affine_of(linear: Matrix, shift: Matrix) -> Matrix:
    """The 4x4 matrix of a linear map and a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = shift
    return matrix


def _bundled(name: str) -> Volume:
    with resources.as_file(resources.files("medseg.deid") / "data" / name) as path:
        return read_volume(path)


def _block_means(array: Floats, volume: Volume) -> tuple[Floats, Matrix]:
    """Means of blocks of voxels where voxels are smaller than the upright grid's, and the affine of the blocks."""
    affine = volume.geometry.affine.copy()
    for axis, spacing in enumerate(volume.geometry.spacing):
        factor = min(max(1, round(_SPACING_MM / spacing)), array.shape[axis])
        count = array.shape[axis] // factor
        front = np.moveaxis(array, axis, 0)[: count * factor]
        array = np.moveaxis(front.reshape(count, factor, *front.shape[1:]).mean(axis=1), 0, axis)
        affine[:3, 3] += affine[:3, axis] * (factor - 1) / 2
        affine[:3, axis] *= factor
    return array, affine


def _interpolated(array: Floats, matrix: Matrix, shape: Shape, outside: float | None = None) -> Floats:
    linear, shift = matrix[:3, :3], matrix[:3, 3]
    if outside is None:
        return affine_transform(array, linear, shift, shape, output=np.float32, order=1, mode="nearest")
    return affine_transform(array, linear, shift, shape, output=np.float32, order=1, mode="constant", cval=outside)


def _inside(source: tuple[int, ...], matrix: Matrix, shape: Shape) -> Mask:
    """For each index of ``shape``, whether ``matrix`` leads it into an array of shape ``source``."""
    inside = np.ones(shape, dtype=np.bool_)
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for row, length in zip(matrix, source, strict=False):
        index = row[0] * x + row[1] * y + row[2] * z + row[3]
        inside &= (index > -0.5) & (index < length - 0.5)
    return inside
