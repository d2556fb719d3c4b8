"""Masks over a picture: a translucent fill and an outline of one pixel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.labels import Colour, LabelScheme


@dataclass(frozen=True, eq=False)
class Layer:
    """One mask and how it is drawn.

    Attributes:
        mask: Shape ``(rows, columns)``.
        colour: Red, green, blue.
        fill: Opacity inside, 0 for none.
        has_outline: Whether its edge is drawn.
    """

    mask: NDArray[np.bool_]
    colour: Colour
    fill: float = 0.35
    has_outline: bool = True


def overlay(picture: NDArray[np.uint8], layers: Iterable[Layer]) -> NDArray[np.uint8]:
    """Picture ``(rows, columns, 3)`` with the layers on it, in their order; outlines above all fills."""
    layers = tuple(layers)
    mixed = picture.astype(np.float32)
    for layer in layers:
        mixed[layer.mask] += (np.array(layer.colour, dtype=np.float32) - mixed[layer.mask]) * layer.fill
    for layer in layers:
        if layer.has_outline:
            mixed[outline(layer.mask)] = layer.colour
    return mixed.round().astype(np.uint8)


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch its outside over an edge; the picture's frame is no outside."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inner
    return edge


def target_colours(scheme: LabelScheme) -> dict[str, Colour]:
    """A colour for each target: its own, or the palette's where it is a region."""
    return {structure.name: structure.colour for structure in scheme.target_structures}
