"""Voxels with a place in the patient: volumes, label maps, label maps whose structures overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import GeometryError, LabelError
from .geometry import Box, Geometry

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Volume:
    """An image: one array a channel, all on one grid.

    Attributes:
        array: Voxels, shape ``(channel, i, j, k)``, any real dtype; kept as a read-only view.
        geometry: The grid of ``(i, j, k)``.
        channels: A name for each channel.
    """

    array: NDArray[np.generic]
    geometry: Geometry
    channels: tuple[str, ...] = ("image",)

    def __post_init__(self) -> None:
        expected = (len(self.channels), *self.geometry.shape)
        if self.array.shape != expected:
            raise GeometryError(f"volume array has shape {self.array.shape}, its channels and grid say {expected}")
        if len(set(self.channels)) != len(self.channels):
            raise GeometryError(f"channel names must differ, got {self.channels}")
        object.__setattr__(self, "array", _read_only(self.array))

    def channel(self, name: str) -> Volume:
        """The channel of that name, as a volume of one channel."""
        if name not in self.channels:
            raise GeometryError(f"no channel {name!r}; there are {', '.join(map(repr, self.channels))}")
        index = self.channels.index(name)
        return Volume(self.array[index : index + 1], self.geometry, (name,))

    def renamed(self, channels: tuple[str, ...]) -> Volume:
        """The same voxels under other channel names."""
        return Volume(self.array, self.geometry, channels)

    def reoriented(self, codes: str) -> Volume:
        """The same voxels with array axes that point to ``codes``."""
        axes = self.geometry.axis_map(codes)
        return Volume(axes.apply(self.array), self.geometry.mapped(axes), self.channels)

    def cropped(self, box: Box) -> Volume:
        """The voxels in a box of plain start and stop values."""
        return Volume(self.array[(slice(None), *box)], self.geometry.cropped(box), self.channels)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One structure at most in each voxel.

    Attributes:
        array: Values, shape ``(i, j, k)``, an integer dtype; 0 is background; kept as a read-only view.
        geometry: The grid.
    """

    array: NDArray[np.integer]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise GeometryError(f"label map array has shape {self.array.shape}, its grid says {self.geometry.shape}")
        if not np.issubdtype(self.array.dtype, np.integer):
            raise LabelError(f"a label map holds integers, got {self.array.dtype}")
        object.__setattr__(self, "array", _read_only(self.array))

    def reoriented(self, codes: str) -> LabelMap:
        """The same voxels with array axes that point to ``codes``."""
        axes = self.geometry.axis_map(codes)
        return LabelMap(axes.apply(self.array), self.geometry.mapped(axes))

    def cropped(self, box: Box) -> LabelMap:
        """The voxels in a box of plain start and stop values."""
        return LabelMap(self.array[box], self.geometry.cropped(box))


@dataclass(frozen=True, eq=False)
class MultiLabelMap:
    """Structures that may overlap: one mask each.

    Attributes:
        array: Masks, shape ``(structure, i, j, k)``, bool; kept as a read-only view.
        geometry: The grid of ``(i, j, k)``.
        structures: A name for each mask.
    """

    array: NDArray[np.bool_]
    geometry: Geometry
    structures: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.structures), *self.geometry.shape)
        if self.array.shape != expected:
            raise GeometryError(f"masks have shape {self.array.shape}, the structures and grid say {expected}")
        if self.array.dtype != np.bool_:
            raise LabelError(f"masks are bool, got {self.array.dtype}")
        if len(set(self.structures)) != len(self.structures):
            raise LabelError(f"structure names must differ, got {self.structures}")
        object.__setattr__(self, "array", _read_only(self.array))

    def reoriented(self, codes: str) -> MultiLabelMap:
        """The same voxels with array axes that point to ``codes``."""
        axes = self.geometry.axis_map(codes)
        return MultiLabelMap(axes.apply(self.array), self.geometry.mapped(axes), self.structures)

    def cropped(self, box: Box) -> MultiLabelMap:
        """The voxels in a box of plain start and stop values."""
        return MultiLabelMap(self.array[(slice(None), *box)], self.geometry.cropped(box), self.structures)


Labels = LabelMap | MultiLabelMap


def _read_only(array: NDArray[T]) -> NDArray[T]:
    view = array.view()
    view.flags.writeable = False
    return view
