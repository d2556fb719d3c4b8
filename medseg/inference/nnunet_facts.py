"""What the training images of an nnU-Net were like, from the fingerprint beside it or else from its plans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from medseg.core.errors import BundleError, DataError
from medseg.data.documents import parse_document, read_json

from .bundle import TrainingFacts
from .nnunet_config import STORED, NnunetModel

_LARGEST = 256 * 2**20
_AROUND_MEDIAN = 2.0
_WORLD = dict(zip("RLAPSI", (0, 0, 1, 1, 2, 2), strict=True))
Triple = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class _Fingerprint(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    spacings: Annotated[tuple[Triple, ...], Field(min_length=1)]
    shapes_after_crop: Annotated[tuple[Triple, ...], Field(min_length=1)]


def training_facts(model: NnunetModel, folder: Path, channels: Sequence[str]) -> TrainingFacts:
    """Voxel sizes and extents of the training images along the patient's axes.

    ``dataset_fingerprint.json`` has those of all images, without the border that is zero. Without it the plans tell the
    medians, and half and double of them are taken for the ends of the range. Where nobody knows how files are oriented,
    each axis gets the range of all three.

    Args:
        model: What the model says.
        folder: Where the fingerprint may lie.
        channels: Their names.

    Raises:
        BundleError: If the fingerprint cannot be read.
    """
    path, widened = folder / "dataset_fingerprint.json", 1.0
    if path.is_file():
        try:
            found = parse_document(read_json(path, _LARGEST), _Fingerprint, path.name)
        except DataError as error:
            raise BundleError(f"the nnU-Net model's fingerprint cannot be read: {error}") from error
        letters = model.stored[::-1]
        spacings, shapes = np.array(found.spacings), np.array(found.shapes_after_crop)
    else:
        letters = "".join(model.stored[::-1][axis] for axis in model.plans.transpose_forward)
        spacings = np.array([model.plans.original_median_spacing_after_transp])
        shapes, widened = np.array([model.plans.original_median_shape_after_transp]), _AROUND_MEDIAN
    extents = spacings * shapes if len(spacings) == len(shapes) else spacings.mean(axis=0) * shapes
    (spacing_min, spacing_max), (extent_min, extent_max) = (
        _ends(rows, letters, widened) for rows in (spacings, extents)
    )
    return TrainingFacts(
        modalities=tuple(channels),
        spacing_min=spacing_min,
        spacing_max=spacing_max,
        extent_min_mm=extent_min,
        extent_max_mm=extent_max,
    )


def _ends(rows: NDArray[np.float64], letters: str, widened: float) -> tuple[Triple, Triple]:
    """Smallest and largest along the right, anterior and superior axis."""
    low, high = rows.min(axis=0) / widened, rows.max(axis=0) * widened
    if set(letters) == set(STORED):
        low, high = np.full(3, low.min()), np.full(3, high.max())
    else:
        order = [[_WORLD[letter] for letter in letters].index(world) for world in range(3)]
        low, high = low[order], high[order]
    return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))
