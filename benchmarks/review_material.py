"""Images and outlines for the benchmarks of the review app: invented bodies, at any size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from medseg.config.review import FolderSource
from medseg.core.geometry import Geometry, Shape, Spacing
from medseg.core.volume import LabelMap, Volume
from medseg.io.nifti import write_nifti
from medseg.phantom.bodies import TORSO, torso

_SMALL: Shape = (96, 96, 44)


def write_studies(folder: Path, name: str, shape: Shape, spacing: Spacing, count: int = 1) -> FolderSource:
    """Images with predictions of a torso, packed, as a source of cases.

    Args:
        folder: Where they are to be; a folder that holds them already is taken as it is.
        name: Of the source.
        shape: Voxels of each image.
        spacing: Their size, mm.
        count: How many.
    """
    images, predictions = folder / name / "images", folder / name / "predictions"
    if not images.exists():
        images.mkdir(parents=True)
        predictions.mkdir()
        for number in range(count):
            image, labels = body(number, shape, spacing)
            write_nifti(predictions / f"{name}-{number}.nii.gz", labels.array[None], labels.geometry)
            write_nifti(images / f"{name}-{number}.nii.gz", image.array, image.geometry)
        values = {one.name: one.value for one in TORSO.structures}
        (predictions / "labels.json").write_text(json.dumps(values), encoding="utf-8")
    return FolderSource(kind="folder", images=images, predictions=predictions, name=name)


def body(seed: int, shape: Shape, spacing: Spacing) -> tuple[Volume, LabelMap]:
    """A CT of a torso with noise in every voxel, and its label map.

    It is painted on a coarse grid, which is what takes long, and that is stretched.
    """
    case = torso(seed, _SMALL)
    places = [np.arange(n) * m // n for n, m in zip(shape, _SMALL, strict=True)]
    affine = case.image.geometry.affine.copy()
    affine[:3, :3] *= np.divide(spacing, case.image.geometry.spacing)
    grid = Geometry(shape, affine)
    labels = case.label.array[np.ix_(*places)]
    image = case.image.array[0].astype(np.int16)[np.ix_(*places)]
    image += np.random.default_rng(seed).integers(-15, 16, shape, dtype=np.int16)
    return Volume(image[None], grid, ("CT",)), LabelMap(labels, grid)
