"""What the browser gets to show and to draw on: files of raw voxels, of a size and of types that it can take.

Images keep their values: whole numbers of up to 32 bits as they are, all else as float32. Colour pictures become RGBA.
What is too large for a browser becomes a review copy (`review_copy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.config.review import ReviewLimits
from medseg.core.errors import GeometryError, InputError, LabelError
from medseg.core.geometry import Geometry, Shape
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Labels, MultiLabelMap, Volume
from medseg.io.raster import RGB
from medseg.render.slices import Window

from .review_copy import WHOLE, Factor, block_labels, block_means, copy_factor, copy_grid, copy_notice
from .served_file import HEADER_BYTES, Voxels, cut, write_voxels

_AS_THEY_ARE = ("uint8", "int16", "uint16", "int32", "float32")
_WIDENED = {"bool": "uint8", "int8": "int16"}
_RGBA = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
_BYTE = np.dtype(np.uint8)
_LARGEST_VALUE = 255
_MEGA = 10**6


@dataclass(frozen=True, eq=False)
class Served:
    """A file of voxels for the browser.

    Attributes:
        path: Where it lies.
        native: The grid of what it shows.
        grid: Its own grid; another one if it is a review copy.
        factor: How many native voxels along each axis are one of the file's.
        notice: What the reader has to know of a review copy; else empty.
    """

    path: Path = field(repr=False)
    native: Geometry
    grid: Geometry
    factor: Factor = WHOLE
    notice: str = ""

    @property
    def shape(self) -> Shape:
        """Voxels along each axis of the file."""
        return self.grid.shape

    @property
    def affine(self) -> NDArray[np.float64]:
        """From the file's voxel indices to RAS mm."""
        return self.grid.affine


@dataclass(frozen=True, eq=False)
class ServedLabels:
    """Labels that the browser got to edit.

    Attributes:
        served: The file: uint8.
        base: The labels in it, on the native grid.
        target: The one target of a multi-label map that may be edited, as the value 1; None for a label map.
        numbers: The value in the file of each value of the labels; those that are not named are as they were.
    """

    served: Served
    base: Segmentation
    target: str | None
    numbers: Mapping[int, int]

    @property
    def drawable(self) -> Mapping[int, int]:
        """Values in the file that a reader may draw, with the labels' values that they stand for; 0 erases."""
        if self.target is not None:
            return {0: 0, 1: 1}
        return {0: 0} | {self.numbers.get(value, value): value for value in self.base.scheme.values}

    def array(self) -> NDArray[np.uint8]:
        """The voxels of the file, mapped into memory; once they are, the file may go.

        Raises:
            InputError: If the file is gone.
        """
        return self._mapped

    @cached_property
    def _mapped(self) -> NDArray[np.uint8]:
        try:
            return np.memmap(self.served.path, np.uint8, "r", HEADER_BYTES, self.served.shape, "F")
        except (OSError, ValueError):
            raise InputError("the case is no longer open here; open it again") from None


def served_image(volume: Volume, folder: Path, limits: ReviewLimits, channel: str | None = None) -> Served:
    """One channel of a volume, or a colour picture, as a file for the browser.

    What is no number becomes the low end of the window, as does minus infinity; infinity becomes its high end.

    Args:
        volume: The image.
        folder: Where the file is to be; it is there already.
        limits: From how many voxels on a review copy is made, of the means of blocks.
        channel: Which of several channels; the first if none is named. Colours are shown together.

    Raises:
        OutputError: If the file cannot be written.
        GeometryError: If there is no such channel.
    """
    native = volume.geometry
    factor = copy_factor(native, limits.viewer_megavoxels * _MEGA)
    grid = copy_grid(native, factor)
    if channel is None and volume.channels == RGB and volume.array.dtype == _BYTE:
        colours = cut(volume.array, factor, _unchanged, _colour_means)
        path = write_voxels(folder, grid, _RGBA, (_rgba(part) for part in colours))
    else:
        one = volume.channel(channel or volume.channels[0])
        dtype, window = _dtype(one.array.dtype), _window(one)
        parts = cut(one.array[0], factor, lambda part: _as_type(part, dtype, window), block_means)
        path = write_voxels(folder, grid, dtype, parts, window)
    return Served(path, native, grid, factor, copy_notice(native, factor))


def served_labels(segmentation: Segmentation, image: Served, target: str | None = None) -> ServedLabels:
    """Labels as a file to draw on, on the grid of the image's file and beside it.

    Values of a label map stay as they are if they fit into uint8; else they are numbered from 1 on.

    Args:
        segmentation: On the image's own grid.
        image: The image's file.
        target: Of a multi-label map, whose structures may overlap, the target to edit.

    Raises:
        OutputError: If the file cannot be written.
        GeometryError: If the labels are not on the image's grid.
        InputError: If no target of a multi-label map is named, or one of a label map.
        LabelError: If there are more than 255 values, or no such target.
    """
    labels = segmentation.labels
    if (target is None) is isinstance(labels, MultiLabelMap):
        raise InputError("targets that may overlap are edited one at a time, those of a label map all at once")
    _check_grid(labels, image)
    if isinstance(labels, MultiLabelMap):
        if target not in labels.structures:
            raise LabelError(f"no outlines of {target!r}; there are {', '.join(labels.structures)}")
        mask = labels.array[labels.structures.index(target)].view(np.uint8)
        return ServedLabels(_beside(image, mask, {}), segmentation, target, {})
    numbers = _numbers(labels.array, segmentation.scheme)
    return ServedLabels(_beside(image, labels.array, numbers), segmentation, None, numbers)


def served_overlay(label_map: LabelMap, image: Served) -> Served:
    """Values from 0 to 255 to look at, on the grid of the image's file: a reference, a comparison, other targets.

    Values that rank, such as an uncertainty, go by ``served_image``: a review copy then holds means.

    Raises:
        OutputError: If the file cannot be written.
        GeometryError: If the values are not on the image's grid.
        LabelError: If a value does not fit into uint8.
    """
    _check_grid(label_map, image)
    low, high = int(label_map.array.min()), int(label_map.array.max())
    if low < 0 or high > _LARGEST_VALUE:
        raise LabelError(f"an overlay holds values from 0 to {_LARGEST_VALUE}, got {low} to {high}")
    return _beside(image, label_map.array, {})


def other_targets(segmentation: Segmentation, target: str | None = None) -> LabelMap:
    """All targets but one in one label map to look at; values are places in `LabelScheme.targets`, from 1 on.

    Where they overlap the smaller lies over the larger.
    """
    scheme, grid = segmentation.scheme, segmentation.geometry
    sizes = {one.name: int(np.count_nonzero(mask)) for one, mask in segmentation.masks() if one.name != target}
    array = np.zeros(grid.shape, np.uint8)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        array[scheme.mask(segmentation.labels, name)] = scheme.targets.index(name) + 1
    return LabelMap(array, grid)


def _check_grid(labels: Labels, image: Served) -> None:
    if not labels.geometry.is_close(image.native):
        raise GeometryError("the labels do not lie on the image's grid; bring them to it before they are shown")


def _beside(image: Served, array: NDArray[np.integer], numbers: Mapping[int, int]) -> Served:
    """A file of labels on the grid of the image's file."""
    table = sorted({0: 0, **numbers}.items())
    known, shown = np.array([value for value, _ in table]), np.array([number for _, number in table], np.uint8)

    def renumbered(part: Voxels) -> Voxels:
        return shown[np.searchsorted(known, part)] if numbers else part.astype(np.uint8, copy=False)

    parts = cut(array, image.factor, renumbered, block_labels)
    path = write_voxels(image.path.parent, image.grid, _BYTE, parts)
    return Served(path, image.native, image.grid, image.factor, image.notice)


def _numbers(array: NDArray[np.integer], scheme: LabelScheme) -> dict[int, int]:
    """New numbers for all values, the scheme's first, if some do not fit into uint8; else none."""
    ignored = () if scheme.ignore is None else (scheme.ignore,)
    if min(0, int(array.min())) == 0 and max(int(array.max()), *scheme.values, *ignored) <= _LARGEST_VALUE:
        return {}
    others = sorted(set(np.unique(array).tolist()) - {0, *scheme.values, *ignored})
    values = (*scheme.values, *ignored, *others)
    if len(values) > _LARGEST_VALUE:
        raise LabelError(f"the viewer tells {_LARGEST_VALUE} values apart, these outlines hold {len(values)}")
    return {value: number for number, value in enumerate(values, start=1)}


def _dtype(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    name = dtype.newbyteorder("=").name
    return np.dtype(name if name in _AS_THEY_ARE else _WIDENED.get(name, "float32"))


def _window(volume: Volume) -> Window:
    with np.errstate(over="ignore"):  # what float32 does not hold is not finite any more, and left out
        return Window.of(volume)


def _as_type(part: Voxels, dtype: np.dtype[np.generic], window: Window) -> Voxels:
    """Voxels in another type, finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        changed = part.astype(dtype, order="K", copy=False)
    if dtype.kind != "f" or np.isfinite(changed).all():
        return changed
    return np.nan_to_num(changed, nan=window.low, posinf=window.high, neginf=window.low)


def _unchanged(part: Voxels) -> Voxels:
    return part


def _colour_means(part: Voxels, factor: Factor) -> Voxels:
    return np.stack([block_means(channel, factor) for channel in part])


def _rgba(part: Voxels) -> Voxels:
    """Three channels as one of opaque colours."""
    colours = np.full((*part.shape[1:], 4), _LARGEST_VALUE, np.uint8)
    colours[..., :3] = np.moveaxis(part, 0, -1)
    return colours.view(_RGBA)[..., 0]
