"""The files of one series put in order as one volume."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from medseg.core.errors import GeometryError, ReadError, StudyError
from medseg.core.geometry import Geometry

from .dicom_encoding import MAX_VOXELS
from .dicom_geometry import stack_planes
from .dicom_instance import Image, Instance


@dataclass(frozen=True)
class Slice:
    """One frame of one file, and its k in the volume."""

    file: int
    frame: int
    place: int


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A grid and the slices that fill it, sorted by place; places without a slice are gaps."""

    geometry: Geometry
    slices: tuple[Slice, ...]
    images: tuple[Image, ...]


def arrange(instances: Sequence[Instance], *, fill_gaps: bool = False) -> Arrangement:
    """One volume out of the files of one series, by their headers.

    Args:
        instances: The files, in any order.
        fill_gaps: Leave places for missing slices instead of refusing.

    Raises:
        StudyError: If a file holds no image, or the series several volumes.
        GeometryError: If the slices make no regular grid.
        ReadError: If the volume is larger than the limit.
    """
    images = _usable_images(instances)
    if len({instance.identity.frame_of_reference_uid for instance in instances}) > 1:
        raise GeometryError("slices of several frames of reference have no common coordinates")
    frames = [(file, frame) for file, image in enumerate(images) for frame in range(len(image.planes))]
    try:
        stack = stack_planes([images[file].planes[frame] for file, frame in frames], fill_gaps=fill_gaps)
    except StudyError as error:
        raise StudyError(f"{error}{_variants(instances)}") from None
    if math.prod(stack.geometry.shape) > MAX_VOXELS:
        raise ReadError(f"a volume of shape {stack.geometry.shape} is larger than the limit of {MAX_VOXELS} voxels")
    slices = [Slice(file, frame, place) for (file, frame), place in zip(frames, stack.places, strict=True)]
    return Arrangement(stack.geometry, tuple(sorted(slices, key=lambda one: one.place)), tuple(images))


def _usable_images(instances: Sequence[Instance]) -> list[Image]:
    """The images of all files; raises what is wrong with most of those that have none."""
    images = [instance.image for instance in instances if isinstance(instance.image, Image)]
    problems = [instance.image for instance in instances if not isinstance(instance.image, Image)]
    if not problems:
        return images
    message, count = Counter(map(str, problems)).most_common(1)[0]
    kind = next(type(problem) for problem in problems if str(problem) == message)
    raise kind(message if count == len(instances) else f"{message} ({count} of {len(instances)} files)")


def _variants(instances: Sequence[Instance]) -> str:
    names = [name for name in instances[0].variants if len({one.variants[name] for one in instances}) > 1]
    return f"; they differ in {', '.join(names)}" if names else ""
