"""Whether an image is of the kind that a model was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from medseg.core.geometry import Geometry, LengthUnit

from .bundle import TrainingFacts

_MODALITIES = {
    "CT": r"ct|cta|cbct",
    "MR": r"mr|mri|mra|t[12].*|pd|flair|dwi|adc|swi|dce|dti|bold|stir|tof",
    "PT": r"pt|pet|suv",
    "US": r"us|ultrasound",
    "MG": r"mg|mammo.*",
    "NM": r"nm|spect",
}
_LENGTHS = 2.0
_VOXELS = 3.0
_AXES = "from left to right, back to front and foot to head"


def wrong_modality(modality: str, facts: TrainingFacts) -> str | None:
    """Why a DICOM series of that modality does not fit, as part of a sentence; None if it does or nobody can tell.

    The model's modality is told by the names of its channels: ``CT`` and ``MR`` themselves, ``T1``, ``FLAIR``, ``PET``.
    """
    known = [found for found in map(dicom_modality, facts.modalities) if found is not None]
    if not known or modality in known:
        return None
    return f"its modality is {modality or 'not given'}, the model was trained on {', '.join(facts.modalities)}"


def missing_channels(channels: Sequence[str], facts: TrainingFacts) -> str | None:
    """Which of the model's channels an image lacks, as part of a sentence; None if none, or if it names none at all."""
    if set(channels).isdisjoint(facts.modalities):
        return None
    missing = [name for name in facts.modalities if name not in channels]
    return f"without {', '.join(missing)}" if missing else None


def dicom_modality(channel: str) -> str | None:
    """The DICOM modality (PS3.3 section C.7.3.1.1.1) that a channel's name speaks of; None if it speaks of none."""
    name = re.sub(r"[\s_-]+", " ", channel).strip().lower()
    return next((found for found, pattern in _MODALITIES.items() if re.fullmatch(pattern, name.split(" ")[0])), None)


def wrong_grid(grid: Geometry, facts: TrainingFacts) -> str | None:
    """Why an image on that grid does not fit, as part of a sentence; None if it does.

    It does not if it is more than twice as long as the longest training image along the right, anterior or superior
    axis, or less than half as long as the shortest; nor if its voxels are more than three times as large along an axis
    as the largest in training, as those of a localizer are. Images in pixels are not judged.
    """
    if grid.unit is LengthUnit.PIXEL:
        return None
    oriented = grid.reoriented("RAS")
    extent = np.multiply(oriented.shape, oriented.spacing)
    low, high = np.array(facts.extent_min_mm), np.array(facts.extent_max_mm)
    if (extent > _LENGTHS * high).any() or (extent < low / _LENGTHS).any():
        return f"it measures {_sizes(extent)} {_AXES}, the training images {_ranges(low, high)} mm"
    smallest, largest = np.array(facts.spacing_min), np.array(facts.spacing_max)
    if (oriented.spacing > _VOXELS * largest).any():
        return (
            f"its voxels measure {_sizes(oriented.spacing)} {_AXES}, those in training {_ranges(smallest, largest)} mm"
        )
    return None


def _sizes(values: Iterable[float]) -> str:
    return f"{' x '.join(f'{value:.3g}' for value in values)} mm"


def _ranges(low: Iterable[float], high: Iterable[float]) -> str:
    return " x ".join(f"{one:.3g} to {other:.3g}" for one, other in zip(low, high, strict=True))
