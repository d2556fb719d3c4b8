"""How a small network at low resolution finds the region that the full-resolution network then looks at."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from .networks import NetworkSection, OwnNetworkSection
from .patches import patch_problem
from .section import Section
from .training import Triple


class LocaliserSection(Section):
    """A network that is trained before the main one and finds the structures at low resolution.

    The main one then needs to see no more than the region around them.
    """

    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Voxel size along the axes of `preprocessing.orientation`, mm; several times that of the main network."""
    network: NetworkSection
    """A small 3D network."""
    patch: Triple
    """Voxels of its training patches and its window; best much of the body."""
    batch: PositiveInt = 2
    """Patches a step, per process."""
    foreground: Literal["union", "structures"] = "union"
    """What it learns to find: all structures as one, or each as such; small ones that lie far from the others may need
    the latter. Regions stay as they are."""
    budget_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Its share of `training.budget`."""
    margin_mm: NonNegativeFloat | None = None
    """What the region has more, on each side, than the localiser found. If none is given, training measures how much
    is needed so that all structures of all training and validation cases lie inside."""
    least_ml: NonNegativeFloat | None = None
    """Parts of what it found that are smaller than this do not count. If none is given, it is half the smallest volume
    of a structure in a training case."""

    @model_validator(mode="after")
    def _patch_fits_network(self) -> Self:
        if isinstance(self.network, OwnNetworkSection) or self.network.dims != 3:
            raise ValueError("localiser.network is one of medseg's own 3D networks")
        if problem := patch_problem(self.patch, self.network):
            raise ValueError(f"localiser.patch {self.patch} {problem}")
        return self
