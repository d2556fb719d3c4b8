"""Slices drawn by the server: the first one, shown at once, and all of them where the browser has no WebGL2.

Planes, directions and letters are those of `medseg.render.slices`. A slice's index counts along the display axes, left,
posterior, superior: axial slices from the feet up, coronal ones from front to back, sagittal ones from the patient's
right to the left.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError, InputError
from medseg.core.geometry import Box
from medseg.core.labels import Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.render.overlay import Layer, overlay
from medseg.render.sheet import write_letters
from medseg.render.slices import DISPLAY_CODES, Letters, Plane, Window, colours_of, has_directions, planes, resized

_LONGEST_SIDE, _SHORTEST_SIDE = 1024, 256
_FILL = 0.35
_PNG_LEVEL = 1


class Style(StrEnum):
    """How outlines are drawn."""

    FILL = "fill"
    OUTLINE = "outline"
    NONE = "none"


@dataclass(frozen=True)
class Look:
    """How a slice is drawn.

    Attributes:
        window: Values shown black and white; None for the view's own.
        style: Of the outlines.
        hidden: Values of targets that are not drawn.
    """

    window: Window | None = None
    style: Style = Style.FILL
    hidden: Collection[int] = ()


@dataclass(frozen=True, eq=False)
class SliceView:
    """A case to cut: views of its arrays in display orientation, so that it costs no memory of its own.

    Attributes:
        image: One channel, or the three of a colour picture.
        outlines: On the same grid.
        window: Values shown black and white at first.
    """

    image: Volume = field(repr=False)
    outlines: Segmentation = field(repr=False)
    window: Window

    @classmethod
    def of(cls, volume: Volume, segmentation: Segmentation) -> Self:
        """The view of an image with its outlines.

        Raises:
            GeometryError: If they lie on different grids.
        """
        if not volume.geometry.is_close(segmentation.geometry):
            raise GeometryError(grid_difference(volume, segmentation.labels, "image and outlines"))
        outlines = Segmentation(segmentation.labels.reoriented(DISPLAY_CODES), segmentation.scheme)
        return cls(volume.reoriented(DISPLAY_CODES), outlines, Window.of(volume))

    @cached_property
    def first(self) -> tuple[Plane, int]:
        """What ``first_slice`` gives; counted once."""
        plane = Plane.AXIAL if Plane.AXIAL in self.counts else next(iter(self.counts))
        labels, others = self.outlines.labels, tuple(axis for axis in range(3) if axis != plane.value)
        if isinstance(labels, LabelMap):
            filled = np.count_nonzero(labels.array, axis=others)
        else:
            filled = np.sum([np.count_nonzero(mask, axis=others) for mask in labels.array], axis=0)
        return plane, int(np.argmax(filled)) if filled.any() else self.counts[plane] // 2

    @property
    def counts(self) -> Mapping[Plane, int]:
        """How many slices each plane has; planes whose slices are lines are left out."""
        shape = self.image.geometry.shape
        return {plane: shape[plane.value] for plane in planes(shape)}

    def slab(self, plane: Plane, index: int) -> Box:
        """The box of one slice.

        Raises:
            InputError: If there is no such slice.
        """
        count = self.counts.get(plane, 0)
        if not 0 <= index < count:
            raise InputError(f"no {plane.name.lower()} slice {index}; there are {count}, counted from 0")
        box = [slice(0, n) for n in self.image.geometry.shape]
        box[plane.value] = slice(index, index + 1)
        return box[0], box[1], box[2]


def first_slice(view: SliceView) -> tuple[Plane, int]:
    """The slice to begin with: the axial one with most foreground, the middle one if there is none.

    Where axial slices are lines it is a slice of another plane.
    """
    return view.first


def draw_slice(view: SliceView, plane: Plane, index: int, look: Look | None = None) -> bytes:
    """A slice as PNG, its pixels square, with letters at its edges where they mean something.

    Args:
        view: What to cut.
        plane: How.
        index: Which slice.
        look: How it is drawn.

    Raises:
        InputError: If there is no such slice.
    """
    look = look or Look()
    slab = view.slab(plane, index)
    image, outlines = view.image.cropped(slab), view.outlines.labels.cropped(slab)
    size = _size(view, plane)
    picture = resized(colours_of(image, plane, look.window or view.window), *size, smooth=True)
    if look.style is not Style.NONE:
        shown = [one for one in view.outlines.scheme.target_structures if one.value not in look.hidden]
        fill = _FILL if look.style is Style.FILL else 0.0
        if isinstance(outlines, LabelMap) and not view.outlines.scheme.regions:
            picture = _painted(picture, _numbered(outlines, plane, shown, size), shown, fill)
        else:
            picture = overlay(picture, _layers(Segmentation(outlines, view.outlines.scheme), plane, shown, size, fill))
    return _png(picture, plane.letters if has_directions(image.geometry) else None)


def _size(view: SliceView, plane: Plane) -> tuple[int, int]:
    """Pixels of a slice, across and down: as many as voxels where these are smallest, within bounds."""
    grid = view.image.geometry
    finest = min(side for axis, side in enumerate(grid.spacing) if axis != plane.value)
    extent = plane.size(grid)
    longest = max(extent) / finest
    scale = min(max(longest, _SHORTEST_SIDE), _LONGEST_SIDE) / longest / finest
    return max(1, round(extent[0] * scale)), max(1, round(extent[1] * scale))


def _layers(
    cut: Segmentation, plane: Plane, shown: Sequence[Structure], size: tuple[int, int], fill: float
) -> Iterator[Layer]:
    """The outlines in one slice that may overlap, at the size of the picture."""
    for structure in shown:
        mask = plane.cut(cut.scheme.mask(cut.labels, structure.name), 0)
        if mask.any():
            enlarged = resized(mask.view(np.uint8), *size, smooth=False).view(np.bool_)
            yield Layer(enlarged, structure.colour, fill)


def _numbered(cut: LabelMap, plane: Plane, shown: Sequence[Structure], size: tuple[int, int]) -> NDArray[np.uint8]:
    """One slice of a label map at the size of the picture: the place of each structure that is shown, from 1 on."""
    labels = plane.cut(cut.array, 0)
    places = np.zeros(labels.shape, np.uint8)
    present = set(np.unique(labels).tolist())
    for place, structure in enumerate(shown, start=1):
        if structure.value in present:
            places[labels == structure.value] = place
    return resized(places, *size, smooth=False)


def _painted(
    picture: NDArray[np.uint8], places: NDArray[np.uint8], shown: Sequence[Structure], fill: float
) -> NDArray[np.uint8]:
    """What ``overlay`` gives for structures that do not overlap; as fast for a hundred as for one."""
    colours = np.array([(0, 0, 0), *(one.colour for one in shown)], np.float32)
    padded = np.pad(places, 1, mode="edge")
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = np.logical_or.reduce([side != places for side in sides]) & (places != 0)
    mixed = picture.copy()
    if fill:
        inside = places != 0
        under = picture[inside].astype(np.float32)
        mixed[inside] = (under + (colours[places[inside]] - under) * np.float32(fill)).round()
    mixed[edge] = colours[places[edge]]
    return mixed


def _png(picture: NDArray[np.uint8], letters: Letters | None) -> bytes:
    image = Image.fromarray(picture)
    if letters is not None:
        write_letters(ImageDraw.Draw(image), letters, (0, 0, image.width, image.height))
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()
