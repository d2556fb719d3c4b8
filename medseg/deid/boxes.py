"""Rectangles of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """Pixels from ``top`` to ``bottom`` and from ``left`` to ``right``; the last ones are outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """In pixels; 0 if there is nothing between its sides."""
        return max(self.height, 0) * max(self.width, 0)

    def grown(self, margin: int) -> Box:
        """The box with a margin around it; it may reach out of the image."""
        return Box(self.top - margin, self.left - margin, self.bottom + margin, self.right + margin)

    def moved(self, rows: int, columns: int) -> Box:
        """The box, down by ``rows`` and to the right by ``columns``."""
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def clipped(self, rows: int, columns: int) -> Box:
        """What of the box lies in an image; of no height or width if nothing does."""
        top, left = min(max(self.top, 0), rows), min(max(self.left, 0), columns)
        return Box(top, left, max(min(self.bottom, rows), top), max(min(self.right, columns), left))

    def clipped_to(self, other: Box) -> Box:
        """What lies in both boxes; of an area of 0 if nothing does."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Box(top, left, min(self.bottom, other.bottom), min(self.right, other.right))

    def joined(self, other: Box) -> Box:
        """The smallest box around both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Box(top, left, max(self.bottom, other.bottom), max(self.right, other.right))

    def touches(self, other: Box) -> bool:
        """Whether the boxes share a pixel."""
        return self.clipped_to(other).area > 0

    def lies_in(self, other: Box) -> bool:
        """Whether all of the box is part of the other."""
        return self.joined(other) == other


def covered(boxes: Iterable[Box], rows: int, columns: int) -> NDArray[np.bool_]:
    """The pixels of an image that lie in any of the boxes, shape ``(rows, columns)``."""
    mask = np.zeros((rows, columns), dtype=np.bool_)
    for box in boxes:
        inside = box.clipped(rows, columns)
        mask[inside.top : inside.bottom, inside.left : inside.right] = True
    return mask
