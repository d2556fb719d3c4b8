"""Slices of a volume as a radiologist expects them: the patient's right on the picture's left, feet down."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg.core.geometry import Geometry, LengthUnit, Shape
from medseg.core.volume import Volume
from medseg.io.raster import RGB

T = TypeVar("T", bound=np.generic)

DISPLAY_CODES = "LPS"
"""Orientation of the arrays that `Plane` cuts."""
_SOFT_TISSUE_HU = (-160.0, 240.0)
_AIR_HU = -500
_MOST_SAMPLES = 2_000_000


@dataclass(frozen=True)
class Letters:
    """Where the edges of a picture lie in the patient."""

    left: str
    right: str
    top: str
    bottom: str


class Plane(Enum):
    """A cut through an array in `DISPLAY_CODES`; the value is the axis that it stands across."""

    AXIAL = 2
    CORONAL = 1
    SAGITTAL = 0

    def cut(self, array: NDArray[T], index: int) -> NDArray[T]:
        """The slice at ``index`` as a picture: rows go down, columns go right; leading axes stay."""
        across = array.ndim - 3 + self.value
        turned: NDArray[T] = np.moveaxis(array, across, 0)[index].swapaxes(-1, -2)
        return turned if self is Plane.AXIAL else turned[..., ::-1, :]

    @property
    def letters(self) -> Letters:
        """The edges; an oblique grid is named after its nearest axes."""
        match self:
            case Plane.AXIAL:
                return Letters("R", "L", "A", "P")
            case Plane.CORONAL:
                return Letters("R", "L", "S", "I")
            case Plane.SAGITTAL:
                return Letters("A", "P", "S", "I")

    def size(self, geometry: Geometry) -> tuple[float, float]:
        """Width and height of a slice in units of the world; the grid is in `DISPLAY_CODES`."""
        extent = [n * side for n, side in zip(geometry.shape, geometry.spacing, strict=True)]
        width, height = (extent[axis] for axis in range(3) if axis != self.value)
        return width, height


def planes(shape: Shape) -> tuple[Plane, ...]:
    """The planes whose slices are more than a line; one plane for a 2D image."""
    several = tuple(plane for plane in Plane if all(shape[axis] > 1 for axis in range(3) if axis != plane.value))
    return several or (Plane.AXIAL,)


def has_directions(geometry: Geometry) -> bool:
    """Whether the axes mean something in the patient; those of a photograph do not."""
    return geometry.unit is LengthUnit.MM


@dataclass(frozen=True)
class Window:
    """The values that are drawn black and white."""

    low: float
    high: float

    @classmethod
    def of(cls, volume: Volume) -> Window:
        """Window for the first channel: -160 to 240 for Hounsfield units, else its 1st to 99.5th percentile."""
        first = volume.array[0]
        step = 1 + round((first.size / _MOST_SAMPLES) ** (1 / 3))
        thinned = tuple(slice(None, None, step if n > step else 1) for n in first.shape)
        sample = np.nan_to_num(first[thinned].astype(np.float32), posinf=0.0, neginf=0.0)
        if volume.channels[0] == "CT" or sample.min() <= _AIR_HU:
            return cls(*_SOFT_TISSUE_HU)
        low, high = (float(edge) for edge in np.percentile(sample, (1, 99.5)))
        return cls(low, max(high, low + 1e-6))

    def grey(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Values in 256 greys."""
        finite = np.nan_to_num(values.astype(np.float32), posinf=self.high, neginf=self.low)
        share: NDArray[np.float32] = np.clip((finite - self.low) / (self.high - self.low), 0, 1)
        return (share * 255).astype(np.uint8)


def colours_of(slab: Volume, plane: Plane, window: Window) -> NDArray[np.uint8]:
    """A slab of one slice as a picture ``(rows, columns, 3)``.

    The first channel in grey, or all three where they are red, green and blue.
    """
    cut = plane.cut(slab.array, 0)
    is_colour = slab.channels == RGB and cut.dtype == np.uint8
    channels = cut.astype(np.uint8) if is_colour else np.repeat(window.grey(cut[:1]), 3, axis=0)
    return np.moveaxis(channels, 0, -1)


def resized(picture: NDArray[np.uint8], width: int, height: int, *, smooth: bool) -> NDArray[np.uint8]:
    """Picture ``(rows, columns)`` or ``(rows, columns, 3)`` at another size."""
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), how))
