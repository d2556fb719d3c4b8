"""What cleaning an image file that is not DICOM gives, and when its voxels themselves raise a doubt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medseg.core.geometry import Geometry

from .removed import Removed

_MOST_LABELS = 128
_PICTURE_VOXELS = 100
_HEAD_MM = 100.0
_HEAD_SLICES = 20


@dataclass(frozen=True)
class ImageCleaned:
    """An image file was written anew without what may name a person.

    Attributes:
        format: Of source and target, such as ``NIfTI-1``.
        taken: What stood in the source and not in the target, for the proof.
        may_show_text: Whether the voxels may hold burned-in text: a picture, colours, a single slice, or slices of at
            least 100 by 100 greys of 8 bits, as screen shots and ultrasound are stored. Nothing was searched.
        may_show_face: Whether the grid is large and fine enough for a head with its face; whether it is one, a file
            without a modality and a body part does not say. False for pictures, which a person has to look at anyway.
    """

    format: str
    taken: tuple[Removed, ...]
    may_show_text: bool
    may_show_face: bool


@dataclass(eq=False)
class ByteLevels:
    """Counts the different values among voxels of one byte while they are copied."""

    seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(256, dtype=np.bool_))

    def watched(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The parts as they are."""
        for part in parts:
            self.seen[np.frombuffer(part, dtype=np.uint8)] = True
            yield part

    @property
    def are_greys(self) -> bool:
        """Whether there are more values than a label map of some hundred structures has."""
        return int(self.seen.sum()) > _MOST_LABELS


def watched(parts: Iterable[bytes], levels: ByteLevels, *, are_bytes: bool) -> Iterable[bytes]:
    """The parts, counted in ``levels`` if voxels are unsigned bytes."""
    return levels.watched(parts) if are_bytes else parts


def may_hold_text(geometry: Geometry, levels: ByteLevels, *, is_colour: bool) -> bool:
    """Whether voxels may show text that was burned in, as far as their layout and number of values tell."""
    if is_colour or min(geometry.shape) == 1:
        return True
    return levels.are_greys and sorted(geometry.shape)[1] >= _PICTURE_VOXELS


def may_be_head(geometry: Geometry) -> bool:
    """Whether a grid spans 100 mm and 20 slices along each axis."""
    extents = np.array(geometry.shape) * geometry.spacing
    return bool(extents.min() >= _HEAD_MM and min(geometry.shape) >= _HEAD_SLICES)
