"""Labels together with what they mean: what files of outlines hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry
from .labels import LabelScheme, Structure
from .volume import Labels


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels on a grid, and the structures that they stand for.

    Attributes:
        labels: A label map with the scheme's values, or a mask for each of the scheme's targets.
        scheme: Names, values, colours and codes.
    """

    labels: Labels
    scheme: LabelScheme

    @property
    def geometry(self) -> Geometry:
        """The grid of the labels."""
        return self.labels.geometry

    def masks(self) -> Iterator[tuple[Structure, NDArray[np.bool_]]]:
        """Each target with its mask, shape ``(i, j, k)``, in order; empty ones too."""
        for structure in self.scheme.target_structures:
            yield structure, self.scheme.mask(self.labels, structure.name)
