"""Where the face lies in the image of a head.

The face is what pydeface takes for it: what lies in front of the middle of the orbits and below the brows, down to the
neck, with a millimetre to spare. The ears and the forehead stay, as they do there.

It is only told where the template could be laid over the head beyond doubt: an upright head of which 1.5 litres are in
view, in a contrast that follows its tissues, such as T1, T2 and FLAIR, with contrast agent or without. Maps of
perfusion or diffusion and brains without their skull are refused. The limits lie between what was measured on heads and
on anything else (benchmarks/defacing.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import DeidError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume

from .face_registration import Alignment, align, settled_on_face
from .face_template import Matrix, Upright, template, upright

_MARGIN_MM = 2.0
_SMALLEST_VIEW_MM = (60, 120, 120)
_LEAST_LEAD, _LEAST_INFORMATION, _LEAST_OVERLAP, _LEAST_LITRES = 1.5, 0.2, 0.88, 1.5
_SMALLEST_SCALE, _LARGEST_SCALE, _LARGEST_RATIO = 0.7, 1.4, 1.35
_FARTHEST_MM = 15.0


def face_mask(volume: Volume) -> NDArray[np.bool_]:
    """The voxels of the face, shape ``(i, j, k)``; the first channel is looked at.

    The mask goes on where the image shows no body, and is empty if the face lies outside of the field of view.

    Raises:
        DeidError: If the template could not be laid over the image beyond doubt.
    """
    _check_view(volume.geometry)
    image = upright(volume)
    alignment = align(image)
    doubt = _doubt(alignment)
    if doubt:
        raise DeidError(f"the face was not found for certain: {doubt}")
    to_template = _close_to_face(image, alignment.matrix) @ volume.geometry.affine
    mask: NDArray[np.bool_] = template().face_distance.sampled(to_template, volume.geometry.shape) <= _MARGIN_MM
    return mask


def _check_view(grid: Geometry) -> None:
    extent = sorted(size * count for size, count in zip(grid.spacing, grid.shape, strict=True))
    if any(size < least for size, least in zip(extent, _SMALLEST_VIEW_MM, strict=True)):
        found, needed = (" x ".join(f"{size:.0f}" for size in sizes) for sizes in (extent, _SMALLEST_VIEW_MM))
        raise DeidError(f"the face was not found for certain: {found} mm are in view, at least {needed} mm are needed")


def _doubt(found: Alignment) -> str:
    """What speaks against the head having been found; empty if nothing does."""
    largest, _, smallest = found.scales
    is_in_shape = smallest >= _SMALLEST_SCALE and largest <= min(_LARGEST_SCALE, _LARGEST_RATIO * smallest)
    checks = (
        (is_in_shape, "the head would be bent out of shape"),
        (found.head_litres >= _LEAST_LITRES, f"less than {_LEAST_LITRES} litres of a head are in view"),
        (found.overlap >= _LEAST_OVERLAP, "the outlines do not look like a head's"),
        (found.information >= _LEAST_INFORMATION, "the inside does not look like a head's"),
        (found.is_upright and found.lead >= _LEAST_LEAD, "no head, or one that lies otherwise than its header says"),
    )
    return next((doubt for passed, doubt in checks if not passed), "")


def _close_to_face(image: Upright, matrix: Matrix) -> Matrix:
    """The map that also fits the neighbourhood of the face; the given one if the face would have to move far for it."""
    closer = settled_on_face(image, matrix)
    coarse = image.coarser(4)
    face = template().face_distance.sampled(matrix @ coarse.affine, coarse.shape) <= _MARGIN_MM
    points = coarse.points(face & coarse.seen)
    moved = np.linalg.norm(points @ (closer - matrix)[:3, :3].T + (closer - matrix)[:3, 3], axis=1)
    return closer if moved.max(initial=0) <= _FARTHEST_MM else matrix
