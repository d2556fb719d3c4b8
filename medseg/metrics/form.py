"""How a mask lies in its grid: size, parts, edges of the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class MaskForm:
    """Three facts that tell an odd mask from a usual one.

    Attributes:
        voxels: How many it has.
        components: How many parts that share no face, edge or corner; 0 if it is empty.
        touches_border: Whether it reaches the first or last plane of an axis of more than one plane.
    """

    voxels: int
    components: int
    touches_border: bool


def form_of(mask: NDArray[np.bool_]) -> MaskForm:
    """The facts of a mask, shape ``(i, j, k)``."""
    found = ndimage.find_objects(mask.view(np.uint8))
    if not found:
        return MaskForm(0, 0, touches_border=False)
    box = found[0]
    _, components = ndimage.label(mask[box], np.ones((3,) * mask.ndim))
    edges = (n > 1 and (part.start == 0 or part.stop == n) for n, part in zip(mask.shape, box, strict=True))
    return MaskForm(int(mask[box].sum()), int(components), any(edges))
