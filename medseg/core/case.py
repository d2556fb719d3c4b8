"""One unit of training, prediction or scoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

from .errors import GeometryError
from .volume import Labels, Volume

CaseId = NewType("CaseId", str)
SeriesUID = NewType("SeriesUID", str)


@dataclass(frozen=True, eq=False)
class Case:
    """Images of one patient at one time, with or without a label.

    Attributes:
        id: Name of the case; never a patient's name or number.
        image: The channels, on one grid.
        label: The reference, on the image's grid; None where nobody drew one.
        attributes: What subgroup scores need, such as sex or scanner.
    """

    id: CaseId
    image: Volume
    label: Labels | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label is not None and not self.image.geometry.is_close(self.label.geometry):
            raise GeometryError(f"case {self.id}: {grid_difference(self.image, self.label)}")


def grid_difference(first: Volume | Labels, second: Volume | Labels, names: str = "image and label") -> str:
    """One clause that says how two grids differ."""
    one, other = first.geometry, second.geometry
    if one.shape != other.shape:
        return f"{names} lie on different grids: shapes {one.shape} and {other.shape}"
    return f"{names} lie on different grids: same-index voxels are up to {one.offset(other):.3g} mm apart"
