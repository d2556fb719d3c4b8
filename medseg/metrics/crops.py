"""Small windows around structures, so that surfaces are searched where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.core.geometry import Box
from medseg.core.labels import LabelScheme
from medseg.core.volume import Labels

from .boxes import hull, structure_boxes
from .counts import ignored_mask, members, target_mask

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabelPair:
    """A prediction and a reference on one grid, with the places of their structures."""

    predicted: Labels
    reference: Labels
    scheme: LabelScheme
    boxes: tuple[Mapping[str, Box], Mapping[str, Box]]

    @classmethod
    def of(cls, predicted: Labels, reference: Labels, scheme: LabelScheme) -> LabelPair:
        """Pair whose boxes are found in one pass over each side."""
        return cls(
            predicted, reference, scheme, (structure_boxes(predicted, scheme), structure_boxes(reference, scheme))
        )

    def box(self, target: str) -> Box | None:
        """The part of the grid that holds a target on either side, with a margin of one voxel; None if neither does."""
        names = {target, *members(self.scheme, target)}
        found = [box for boxes in self.boxes for name, box in boxes.items() if name in names]
        return hull(found, self.reference.geometry.shape) if found else None

    def masks(self, target: str) -> tuple[Mask, Mask]:
        """Masks of a target, predicted and reference, cropped to its box; ignored voxels out.

        At least one side must hold the target.
        """
        box = self.box(target)
        assert box is not None  # noqa: S101 - the caller's part
        predicted, reference = self.predicted.cropped(box), self.reference.cropped(box)
        one, other = (target_mask(labels, self.scheme, target) for labels in (predicted, reference))
        ignored = ignored_mask(predicted, reference, self.scheme)
        return (one, other) if ignored is None else (one & ~ignored, other & ~ignored)
