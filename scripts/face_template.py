"""Make medseg's head template and face mask out of pydeface's, which are ten times larger.

    python scripts/face_template.py pydeface-2.1.0-py3-none-any.whl medseg/deid/data

The wheel (MIT licence) is on PyPI. Both images are resampled to one upright RAS grid of 2 mm; the template becomes
uint8, and the mask, which in pydeface is 1 where voxels are kept, becomes 1 where they are taken out.
"""

from __future__ import annotations

import argparse
import gzip
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

SPACING_MM = 2.0
WHITE_PERCENTILE = 99.8
LICENCE = "pydeface-2.1.0.dist-info/licenses/LICENSE.txt"

Floats = NDArray[np.float32]


def main() -> None:
    """Write the two images and the licence text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        template, affine = _image(wheel.read("pydeface/data/mean_reg2mean.nii.gz"))
        kept, _ = _image(wheel.read("pydeface/data/facemask.nii.gz"))
        (arguments.folder / "PYDEFACE_LICENSE.txt").write_bytes(wheel.read(LICENCE))
    grid, shape = _upright(template.shape, affine)
    head = _resampled(gaussian_filter(template, SPACING_MM / 2), affine, grid, shape, "constant")
    white = np.percentile(head[head > head.mean()], WHITE_PERCENTILE)
    face = _resampled(1 - kept, affine, grid, shape, "nearest")
    _write(arguments.folder / "face_template.nii.gz", np.rint(np.clip(head / white, 0, 1) * 255).astype(np.uint8), grid)
    _write(arguments.folder / "face_mask.nii.gz", (face > 0.5).astype(np.uint8), grid)


def _image(content: bytes) -> tuple[Floats, NDArray[np.float64]]:
    image = nib.Nifti1Image.from_bytes(gzip.decompress(content))
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine)


def _upright(shape: tuple[int, ...], affine: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """The axis-aligned grid around the template's own, which is turned by a few degrees; below it ends inside."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1) @ affine[:3, :3].T + affine[:3, 3]
    ordered = np.sort(corners, axis=0)
    low = np.ceil([*ordered[0, :2], ordered[3, 2]])
    grid = np.diag([SPACING_MM] * 3 + [1.0])
    grid[:3, 3] = low
    return grid, tuple(((ordered[-1] - low) // SPACING_MM + 1).astype(int))


def _resampled(
    array: Floats, affine: NDArray[np.float64], grid: NDArray[np.float64], shape: tuple[int, ...], mode: str
) -> Floats:
    inverse = np.linalg.inv(affine) @ grid
    resampled: Floats = affine_transform(array, inverse[:3, :3], inverse[:3, 3], shape, order=1, mode=mode)
    return resampled


def _write(path: Path, array: NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
