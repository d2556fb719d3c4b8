"""Slices of a series with the outlines of its structures, for viewers that know no segmentations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError
from medseg.core.geometry import Box
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Volume
from medseg.io.capture import SlicePicture

from .overlay import Layer, outline, overlay
from .slices import Plane, Window, colours_of

_THICK_FROM = 512


def capture_pictures(
    volume: Volume,
    segmentation: Segmentation,
    slices: Iterable[int],
    *,
    window: Window | None = None,
    only_labelled: bool = False,
) -> Iterator[SlicePicture]:
    """A picture of each slice in source pixels: grey values, and outlines in the structures' colours.

    Outlines lie inside their structures; they are two pixels wide in pictures of 512 and more.

    Args:
        volume: The first channel is shown; its k are the slices of the series.
        segmentation: On the same grid.
        slices: The k to show, in order; those of the series' slices, so that both scroll alike.
        window: The values shown black and white; by default as ``Window.of`` finds them.
        only_labelled: Leave out slices without structures.

    Raises:
        GeometryError: If the grids differ.
    """
    if not volume.geometry.is_close(segmentation.geometry):
        raise GeometryError(grid_difference(volume, segmentation.labels, "image and labels"))
    window = window or Window.of(volume)
    columns, rows, _ = volume.geometry.shape
    for place in slices:
        slab = (slice(0, columns), slice(0, rows), slice(place, place + 1))
        layers = _layers(segmentation, slab, thick=max(columns, rows) >= _THICK_FROM)
        if layers or not only_labelled:
            grey = colours_of(volume.cropped(slab), Plane.AXIAL, window)
            yield SlicePicture(place, overlay(grey, layers))


def _layers(segmentation: Segmentation, slab: Box, *, thick: bool) -> list[Layer]:
    """The outlines in a slab of one slice."""
    cut = Segmentation(segmentation.labels.cropped(slab), segmentation.scheme)
    masks = ((structure, Plane.AXIAL.cut(mask, 0)) for structure, mask in cut.masks())
    return [
        Layer(_edge(mask, thick=thick), structure.colour, fill=1.0, has_outline=False)
        for structure, mask in masks
        if mask.any()
    ]


def _edge(mask: NDArray[np.bool_], *, thick: bool) -> NDArray[np.bool_]:
    edge = outline(mask)
    return edge | outline(mask & ~edge) if thick else edge
