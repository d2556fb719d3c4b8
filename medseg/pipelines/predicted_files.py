"""The files of one predicted image: labels, maps and a picture, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL.Image import Image

from medseg.core.files import atomic_file
from medseg.core.geometry import LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels, Volume
from medseg.inference.restore import Prediction
from medseg.io.formats import write_labels, write_volume


def write_prediction(stem: Path, prediction: Prediction, scheme: LabelScheme, picture: Image | None = None) -> Path:
    """Write all outputs of a case, the labels last, or none.

    Args:
        stem: Folder and name of the case, without a suffix.
        prediction: What there is of it is written.
        scheme: Of the labels; pictures of exclusive structures become pictures.
        picture: The preview, if there is to be one.

    Returns:
        The file of the labels.

    Raises:
        OutputError: If a file cannot be written; those that were are removed.
    """
    folder, name, geometry = stem.parent, stem.name, prediction.labels.geometry
    is_picture = geometry.unit is LengthUnit.PIXEL and scheme.is_exclusive
    outputs: dict[Path, Callable[[Path], None]] = {}
    if prediction.probabilities is not None:
        maps = Volume(prediction.probabilities, geometry, scheme.targets)
        outputs[folder / f"{name}_probabilities.nii.gz"] = partial(write_volume, volume=maps)
    if prediction.entropy is not None:
        entropy = Volume(prediction.entropy[np.newaxis], geometry)
        outputs[folder / f"{name}_entropy.nii.gz"] = partial(write_volume, volume=entropy)
    if picture is not None:
        outputs[folder / f"{name}_preview.png"] = partial(_write_picture, picture=picture)
    labels = folder / f"{name}{'.png' if is_picture else '.nii.gz'}"
    outputs[labels] = partial(write_labels, labels=prediction.labels, scheme=scheme)
    _write_all(outputs)
    return labels


def volumes_ml(labels: Labels, scheme: LabelScheme) -> dict[str, float | None]:
    """Millilitres of each target; None where the grid is in pixels."""
    geometry = labels.geometry
    if geometry.unit is LengthUnit.PIXEL:
        return dict.fromkeys(scheme.targets)
    if isinstance(labels, LabelMap):
        counts = np.zeros(max(scheme.values) + 1, np.int64)
        for plane in labels.array:  # bincount makes 64-bit numbers of what it counts
            counts += np.bincount(plane.reshape(-1), minlength=len(counts))
        voxels = [int(counts[value]) for value in scheme.values]
    else:
        voxels = [int(mask.sum()) for mask in labels.array]
    return {name: n * geometry.voxel_volume / 1000 for name, n in zip(scheme.targets, voxels, strict=True)}


def _write_all(outputs: Mapping[Path, Callable[[Path], None]]) -> None:
    written: list[Path] = []
    try:
        for path, write in outputs.items():
            write(path)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink()
        raise


def _write_picture(path: Path, picture: Image) -> None:
    with atomic_file(path) as partial_path:
        picture.save(partial_path, format="PNG")
