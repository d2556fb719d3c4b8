"""Connected components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .extent import extent


def keep_largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The component with the most voxels; voxels that share a face, an edge or a corner belong together.

    Args:
        mask: Any number of dimensions; not changed.

    Returns:
        New mask of the same shape; empty if the mask is. Of components of one size the first in array order is kept.
    """
    kept = np.zeros_like(mask)
    box = extent(mask)
    if box is None:
        return kept
    components, _ = ndimage.label(mask[box], np.ones((3,) * mask.ndim))
    sizes = np.bincount(components.reshape(-1))
    sizes[0] = 0
    kept[box] = components == sizes.argmax()
    return kept
