"""The losses that a configuration may name."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from .section import Fraction, Section


class DiceSection(Section):
    """Soft Dice (Milletari 2016)."""

    name: Literal["dice"] = "dice"


class DiceCESection(Section):
    """Soft Dice plus cross-entropy (Isensee 2021)."""

    name: Literal["dice_ce"] = "dice_ce"
    ce_weight: PositiveFloat = 1.0
    """Weight of the cross-entropy beside the Dice."""


class DiceFocalSection(Section):
    """Soft Dice plus focal loss (Lin 2017)."""

    name: Literal["dice_focal"] = "dice_focal"
    gamma: NonNegativeFloat = 2.0
    """Focusing exponent; 0 is cross-entropy."""
    focal_weight: PositiveFloat = 1.0
    """Weight of the focal loss beside the Dice."""


class _TverskySection(Section):
    """What both Tversky losses have in common."""

    name: str
    alpha: Fraction = 0.3
    """Weight of false positives."""
    beta: Fraction = 0.7
    """Weight of false negatives."""

    @model_validator(mode="after")
    def _something_costs(self) -> Self:
        if self.alpha == self.beta == 0:
            raise ValueError("alpha and beta are both 0, so no error would cost anything; give one of them a weight")
        return self


class TverskySection(_TverskySection):
    """Tversky loss (Salehi 2017)."""

    name: Literal["tversky"] = "tversky"


class FocalTverskySection(_TverskySection):
    """Focal Tversky loss (Abraham 2019): the Tversky loss of each structure to the power 1 / gamma."""

    name: Literal["focal_tversky"] = "focal_tversky"
    gamma: Annotated[float, Field(ge=1, le=3)] = 4 / 3
    """1 is the Tversky loss; larger keeps structures in play that are nearly learned."""


class GeneralizedDiceSection(Section):
    """Generalised Dice (Sudre 2017): structures weighted by the inverse square of their size."""

    name: Literal["generalized_dice"] = "generalized_dice"


class DiceTopKSection(Section):
    """Soft Dice plus the cross-entropy of the hardest voxels (nnU-Net's TopK)."""

    name: Literal["dice_topk"] = "dice_topk"
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the voxels whose cross-entropy counts, the hardest ones; 1 is `dice_ce`."""
    ce_weight: PositiveFloat = 1.0
    """Weight of that cross-entropy beside the Dice."""


class _SurfaceSection(Section):
    """What losses have in common that weigh errors by their distance to a surface."""

    name: str
    ramp: Fraction = 1.0
    """Share of the training over which the weight beside the Dice rises from 0; 0 is full from the beginning."""
    reach: Annotated[int, Field(ge=1, le=100)] = 10
    """Largest distance in voxels that is told apart; time grows with it."""


class DiceBoundarySection(_SurfaceSection):
    """Soft Dice plus boundary loss (Kervadec 2019): errors weighted by their distance to the surface."""

    name: Literal["dice_boundary"] = "dice_boundary"
    boundary_weight: PositiveFloat = 1.0
    """Full weight of the boundary loss beside the Dice."""


class DiceHausdorffSection(_SurfaceSection):
    """Soft Dice plus log(1 + Hausdorff loss) (Karimi 2019): errors weighted by their distance to both surfaces."""

    name: Literal["dice_hausdorff"] = "dice_hausdorff"
    hausdorff_weight: PositiveFloat = 1.0
    """Full weight of the Hausdorff loss beside the Dice."""
    alpha: Annotated[float, Field(gt=0, le=4)] = 2.0
    """Power of the distances; larger looks at the farthest errors only."""


class DiceClDiceSection(Section):
    """Soft Dice and soft centre line Dice (Shit 2021), for structures that have to hang together."""

    name: Literal["dice_cldice"] = "dice_cldice"
    cldice_weight: Fraction = 0.5
    """Weight of the centre line Dice; the Dice has the rest of one."""
    iterations: Annotated[int, Field(ge=1, le=50)] = 3
    """Erosions down to the centre line; at least the radius of the thickest structure in voxels."""


OverlapLossSection = DiceSection | TverskySection | FocalTverskySection | GeneralizedDiceSection
CompoundLossSection = (
    DiceCESection | DiceFocalSection | DiceTopKSection | DiceBoundarySection | DiceHausdorffSection | DiceClDiceSection
)
LossSection = Annotated[OverlapLossSection | CompoundLossSection, Field(discriminator="name")]
