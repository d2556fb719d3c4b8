"""The networks that a configuration may name."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from .section import Section


class UNetSection(Section):
    """U-Net (Ronneberger 2015, Çiçek 2016): plain convolutions, instance norm, strided down, transposed up."""

    name: Literal["unet"] = "unet"
    dims: Literal[2, 3]
    """2: slices; 3: volumes."""
    features: tuple[PositiveInt, ...]
    """Feature maps of each level, finest first."""
    strides: tuple[tuple[PositiveInt, ...], ...]
    """Step into each level along each axis; the first is all ones."""
    kernels: tuple[tuple[PositiveInt, ...], ...]
    """Kernel size of each level along each axis."""
    convolutions: PositiveInt = 2
    """Convolutions a level, on the way down and up."""
    deep_supervision: bool = True
    """Loss at the coarser decoder levels too (Lee 2015)."""

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if not len(self.features) == len(self.strides) == len(self.kernels) or len(self.features) < 2:
            raise ValueError("features, strides and kernels need one entry a level, and at least two levels")
        if any(len(axes) != self.dims for axes in (*self.strides, *self.kernels)):
            raise ValueError(f"strides and kernels need {self.dims} numbers a level")
        if any(step != 1 for step in self.strides[0]) or any(size % 2 == 0 for axes in self.kernels for size in axes):
            raise ValueError("the first level's stride is all ones, and kernels are odd")
        return self

    @property
    def factors(self) -> tuple[int, ...]:
        """What the size of an input has to be a multiple of, along each axis."""
        return tuple(math.prod(level[axis] for level in self.strides) for axis in range(self.dims))


class SegResNetSection(Section):
    """SegResNet (Myronenko 2018): residual blocks, group norm, added skips; MONAI's."""

    name: Literal["segresnet"] = "segresnet"
    dims: Literal[2, 3]
    """2: slices; 3: volumes."""
    features: PositiveInt = 16
    """Feature maps of the finest level, doubled a level; a multiple of 8, the groups of its norm."""
    blocks_down: tuple[PositiveInt, ...] = (1, 2, 2, 4)
    """Residual blocks of each level on the way down."""
    blocks_up: tuple[PositiveInt, ...] = (1, 1, 1)
    """Residual blocks of each level on the way up, one level fewer."""

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.blocks_up) != len(self.blocks_down) - 1 or self.features % 8:
            raise ValueError("blocks_up needs one level fewer than blocks_down, and features a multiple of 8")
        return self

    @property
    def factors(self) -> tuple[int, ...]:
        """What the size of an input has to be a multiple of, along each axis."""
        return (2 ** len(self.blocks_up),) * self.dims

    @property
    def deep_supervision(self) -> bool:
        """Whether it gives logits at several levels while training: never."""
        return False


NetworkSection = Annotated[UNetSection | SegResNetSection, Field(discriminator="name")]
