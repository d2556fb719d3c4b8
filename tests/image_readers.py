"""Other programs' readers of the same files, and pictures of 2D geometry, for comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK

from medseg.core.geometry import Geometry, LengthUnit


def by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels ``(channel, i, j, k)`` and RAS affine, as SimpleITK sees a 3D file."""
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., np.newaxis]
    return array.transpose(3, 2, 1, 0), ras_affine(image)


def ras_affine(image: SimpleITK.Image) -> np.ndarray:
    """RAS affine of an image with at least two axes."""
    axes = min(image.GetDimension(), 3)
    lps = np.eye(4)
    direction = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)
    lps[:axes, :axes] = (direction * np.array(image.GetSpacing()))[:axes, :axes]
    lps[:axes, 3] = image.GetOrigin()[:axes]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def picture_grid(columns: int, rows: int) -> Geometry:
    """The grid of a 2D picture."""
    return Geometry((columns, rows, 1), np.diag([-1.0, -1.0, 1.0, 1.0]), LengthUnit.PIXEL)


def itk_image(dims: int, components: int, dtype) -> SimpleITK.Image:
    """Random image of 2, 3 or 4 dimensions on an oblique grid."""
    rng = np.random.default_rng(dims)
    shape = (2, 7, 6, 5)[4 - dims :] + ((components,) if components > 1 else ())
    image = SimpleITK.GetImageFromArray(rng.integers(0, 100, shape).astype(dtype), isVector=components > 1)
    direction = np.eye(dims)
    axes = min(dims, 3)
    direction[:axes, :axes] = np.linalg.qr(rng.normal(size=(axes, axes)))[0]
    image.SetDirection(direction.ravel())
    image.SetSpacing((0.5, 1.5, 2.5, 1.0)[:dims])
    image.SetOrigin((5.25, -6.5, 7.0, 0.0)[:dims])
    return image
