"""The losses that a configuration may name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

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


class TverskySection(Section):
    """Tversky loss (Salehi 2017)."""

    name: Literal["tversky"] = "tversky"
    alpha: Fraction = 0.3
    """Weight of false positives."""
    beta: Fraction = 0.7
    """Weight of false negatives."""


class GeneralizedDiceSection(Section):
    """Generalised Dice (Sudre 2017): structures weighted by the inverse square of their size."""

    name: Literal["generalized_dice"] = "generalized_dice"


LossSection = Annotated[
    DiceSection | DiceCESection | DiceFocalSection | TverskySection | GeneralizedDiceSection,
    Field(discriminator="name"),
]
