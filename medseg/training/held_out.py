"""What a network says about cases that it did not train on, kept on the disk until all folds are there."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from medseg.core.errors import DataError
from medseg.core.files import atomic_file
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels, MultiLabelMap
from medseg.inference.calibration import MARGIN, Calibration, VoxelSample, sample_voxels
from medseg.inference.restore import Prediction
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice

_LEVELS = 240  # so that a threshold of a multiple of 0.05 lies between two levels
_SAMPLED_NUMBERS = 4_000_000
_MOST_SAMPLED = 10_000
_FEWEST_SAMPLED = 100
_PLANES = 16
_LEAST = 1e-7


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A prediction of a case that did not train, before any clean-up.

    Attributes:
        geometry: The image's own grid.
        values: Values of the scheme, shape ``(i, j, k)``; None where targets may overlap.
        levels: Probabilities of the targets in 240ths, rounded up, shape ``(t, i, j, k)``; a first 240th counts as 0.
        sample: Some voxels in full precision, to fit a temperature to.
        dice: Of each target, as it is; NaN where neither side holds it.
    """

    geometry: Geometry
    values: NDArray[np.integer] | None
    levels: NDArray[np.uint8]
    sample: VoxelSample
    dice: NDArray[np.float64]

    @property
    def probabilities(self) -> NDArray[np.float16]:
        """Probabilities of the targets, in the middle of their level, shape ``(t, i, j, k)``."""
        middles = (np.arange(_LEVELS + 1) - 0.5) / _LEVELS
        middles[0] = 0.0
        return middles.astype(np.float16)[self.levels]

    def labels(self, scheme: LabelScheme, calibration: Calibration) -> Labels:
        """The labels, by the thresholds of a calibration where targets may overlap."""
        if self.values is not None:
            return LabelMap(self.values, self.geometry)
        return decided(self.probabilities, self.geometry, scheme, calibration)


def hold_out(
    prediction: Prediction, reference: Labels, scheme: LabelScheme, count: int, rng: np.random.Generator
) -> HeldOut:
    """What is kept of a prediction.

    Args:
        prediction: With probabilities, without clean-up, by a model without a calibration.
        reference: What is true, on its grid.
        scheme: The targets.
        count: Voxels to sample.
        rng: Draws them.
    """
    assert prediction.probabilities is not None  # noqa: S101 - they were asked for
    labels = prediction.labels
    return HeldOut(
        labels.geometry,
        labels.array if isinstance(labels, LabelMap) else None,
        np.stack([_levels(one) for one in prediction.probabilities]),
        sample_voxels(prediction.probabilities, reference, scheme, count, rng),
        dice(count_voxels(labels, reference, scheme)),
    )


def sample_size(cases: int, channels: int) -> int:
    """Voxels to sample of each case, so that those of all cases together stay small."""
    return max(_FEWEST_SAMPLED, min(_MOST_SAMPLED, _SAMPLED_NUMBERS // max(1, cases * channels)))


def decided(
    probabilities: NDArray[np.floating], geometry: Geometry, scheme: LabelScheme, calibration: Calibration
) -> Labels:
    """Labels from the probabilities of the targets, shape ``(t, i, j, k)``, as a predictor decides them.

    Where targets exclude each other the most probable wins, the background with what is left over among them; else each
    holds above its threshold.
    """
    if not scheme.is_exclusive:
        limits = np.array([calibration.threshold(target) + MARGIN for target in scheme.targets])
        masks = [one > limit for one, limit in zip(probabilities, limits, strict=True)]
        return MultiLabelMap(np.stack(masks), geometry, scheme.targets)
    indices = np.zeros(geometry.shape, np.uint8)
    best = np.clip(1 - probabilities.sum(axis=0, dtype=np.float32), 0, 1)
    for number, one in enumerate(probabilities, start=1):
        indices[one > best] = number
        np.maximum(best, one, out=best)
    return LabelMap(scheme.from_class_indices(indices), geometry)


def tempered(probabilities: NDArray[np.float16], temperature: float, *, exclusive: bool) -> NDArray[np.float16]:
    """The probabilities of the targets, shape ``(t, i, j, k)``, as if their logits were divided by a temperature.

    References:
        Guo et al., 2017, ICML, section 4.2.
    """
    if temperature == 1:
        return probabilities.copy()
    result = np.empty_like(probabilities)
    for first in range(0, probabilities.shape[1], _PLANES):
        part = probabilities[:, first : first + _PLANES].astype(np.float32)
        rest = 1 - part.sum(axis=0) if exclusive else 1 - part
        powers, others = (np.clip(one, _LEAST, 1) ** (1 / temperature) for one in (part, rest))
        result[:, first : first + _PLANES] = powers / (powers.sum(axis=0) + others if exclusive else powers + others)
    return result


def write_held_out(path: Path, held: HeldOut) -> None:
    """Write it, compressed, so that a crash leaves the old file or the new one; the suffix is ``.npz``."""
    arrays: dict[str, NDArray[np.generic]] = {
        "levels": held.levels,
        "sampled": held.sample.probabilities.astype(np.float32),
        "true": held.sample.labels,
        "dice": held.dice,
        "shape": np.array(held.geometry.shape),
        "affine": held.geometry.affine,
        "unit": np.array(held.geometry.unit.value),
    }
    if held.values is not None:
        arrays["values"] = held.values
    with atomic_file(path) as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays)


def read_held_out(path: Path) -> HeldOut:
    """Read what ``write_held_out`` wrote.

    Raises:
        DataError: If the file is missing or damaged.
    """
    with _opened(path) as saved:
        i, j, k = saved["shape"].tolist()
        return HeldOut(
            Geometry((i, j, k), saved["affine"], LengthUnit(str(saved["unit"]))),
            saved.get("values"),
            saved["levels"],
            VoxelSample(saved["sampled"].astype(np.float64), saved["true"]),
            saved["dice"],
        )


def read_sample(path: Path) -> VoxelSample:
    """Only the sampled voxels of a file, which is quick; errors as ``read_held_out``."""
    with _opened(path) as saved:
        return VoxelSample(saved["sampled"].astype(np.float64), saved["true"])


def read_dice(path: Path) -> NDArray[np.float64]:
    """Only the Dice of each target of a file, which is quick; errors as ``read_held_out``."""
    with _opened(path) as saved:
        scores: NDArray[np.float64] = saved["dice"]
        return scores


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    try:
        with path.open("rb") as stream, np.load(stream) as saved:
            yield saved
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"out-of-fold prediction {path.name} is missing or damaged; remove its folder and resume the fold"
        ) from error


def _levels(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    levels = np.clip(np.ceil(probabilities.astype(np.float32) * _LEVELS), 0, _LEVELS).astype(np.uint8)
    levels[levels == 1] = 0  # what is next to nothing compresses best as nothing
    return levels
