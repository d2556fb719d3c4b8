"""Measurements of each structure of an image: how large, of what shape, how bright."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError
from medseg.core.geometry import Box, LengthUnit
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels, Volume

from .boxes import hull, structure_boxes
from .counts import check_values, members, target_mask
from .intensity import Intensities, intensities_of
from .shape import MaskShape, shape_of


@dataclass(frozen=True)
class StructureMeasures:
    """What was measured of one structure.

    Attributes:
        structure: The structure, or the region where the scheme has regions.
        unit: Unit of lengths.
        shape: Size and shape.
        intensities: What each channel shows inside, by the channel's name.
    """

    structure: str
    unit: LengthUnit
    shape: MaskShape
    intensities: Mapping[str, Intensities]

    @property
    def volume_unit(self) -> str:
        """Unit of volumes: ``mL`` or ``pixel``."""
        return "mL" if self.unit is LengthUnit.MM else self.unit.value


def measure(volume: Volume, labels: Labels, scheme: LabelScheme) -> tuple[StructureMeasures, ...]:
    """Size, shape and intensities of every target of the scheme, in the scheme's order.

    Args:
        volume: The image.
        labels: What was drawn in it, on the same grid. A structure that is not there has no voxel, a volume of 0, and
            NaN for all else.
        scheme: What the values mean.

    Raises:
        GeometryError: If image and labels lie on different grids.
        LabelError: If a value or a structure is not in the scheme.
    """
    if not volume.geometry.is_close(labels.geometry):
        difference = grid_difference(volume, labels, "image and labels")
        raise GeometryError(f"{difference}; bring the labels to the image's grid")
    check_values(labels, scheme, "label map")
    boxes = structure_boxes(labels, scheme)
    return tuple(_measured(volume, labels, scheme, target, boxes) for target in scheme.targets)


def flat_rows(measures: Sequence[StructureMeasures]) -> list[dict[str, str | int | float]]:
    """A row for each structure and channel, for a table; the centroid is three columns."""
    rows: list[dict[str, str | int | float]] = []
    for one in measures:
        shape = asdict(one.shape)
        right, front, top = shape.pop("centroid")
        shape |= {"centroid_right": right, "centroid_anterior": front, "centroid_superior": top}
        units = {"unit": one.unit.value, "volume_unit": one.volume_unit}
        for channel, found in one.intensities.items():
            rows.append({"structure": one.structure, "channel": channel, **units, **shape, **asdict(found)})
    return rows


def _measured(
    volume: Volume, labels: Labels, scheme: LabelScheme, target: str, boxes: Mapping[str, Box]
) -> StructureMeasures:
    found = [boxes[name] for name in {target, *members(scheme, target)} if name in boxes]
    # an empty structure is measured on one corner of the image
    box = hull(found or [(slice(0, 1),) * 3], labels.geometry.shape)
    inside, image = labels.cropped(box), volume.cropped(box)
    mask = target_mask(inside, scheme, target)
    values = image.array[:, np.asarray(mask)]
    channels = zip(volume.channels, values, strict=True)
    return StructureMeasures(
        structure=target,
        unit=labels.geometry.unit,
        shape=shape_of(mask, inside.geometry),
        intensities={name: intensities_of(channel) for name, channel in channels},
    )
