"""The networks that a configuration may name."""

from __future__ import annotations

import math
from abc import abstractmethod
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from .section import Section

_SWIN_STEPS = 5  # its patches halve the image once, and four stages once each
_Depth = Annotated[int, Field(gt=0, le=32)]


class NetworkChoice(StrEnum):
    """The networks that a plan can be made for."""

    UNET = "unet"
    UNET_SMALL = "unet_small"
    RESENC_M = "resenc_m"
    RESENC_L = "resenc_l"
    DEEPLAB = "deeplab"
    SEGRESNET = "segresnet"
    SWIN_UNETR = "swin_unetr"
    MEDNEXT = "mednext"
    ATTENTION_UNET = "attention_unet"


class _SteppedSection(Section):
    """What networks have in common whose levels step along each axis as they like."""

    name: str
    dims: Literal[2, 3]
    """2: slices; 3: volumes."""
    features: tuple[PositiveInt, ...]
    """Feature maps of each level, finest first."""
    strides: tuple[tuple[PositiveInt, ...], ...]
    """Step into each level along each axis; the first is all ones."""
    kernels: tuple[tuple[PositiveInt, ...], ...]
    """Kernel size of each level along each axis."""

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

    @property
    def width(self) -> int:
        """Feature maps of the finest level."""
        return self.features[0]


class _ResidualSection(_SteppedSection):
    """What networks have in common whose encoder is a residual one."""

    blocks: tuple[PositiveInt, ...]
    """Residual blocks of each level on the way down; nnU-Net takes 1, 3, 4, 6, 6, 6."""

    @model_validator(mode="after")
    def _blocks_agree(self) -> Self:
        if len(self.blocks) != len(self.features):
            raise ValueError(f"blocks needs one entry a level: {len(self.features)}, not {len(self.blocks)}")
        return self


class _HalvedSection(Section):
    """What networks have in common whose levels halve all axes alike and double the features."""

    name: str
    dims: Literal[2, 3]
    """2: slices; 3: volumes."""
    features: PositiveInt
    """Feature maps of the finest level, doubled a level."""

    @property
    @abstractmethod
    def halvings(self) -> int:
        """How often each axis is halved."""

    @property
    def factors(self) -> tuple[int, ...]:
        """What the size of an input has to be a multiple of, along each axis."""
        return (2**self.halvings,) * self.dims

    @property
    def width(self) -> int:
        """Feature maps of the finest level."""
        return self.features


class _OneOutput:
    """A network that gives logits of one level, in training too."""

    @property
    def deep_supervision(self) -> bool:
        """Whether it gives logits at several levels while training: never."""
        return False


class UNetSection(_SteppedSection):
    """U-Net (Ronneberger 2015, Çiçek 2016): plain convolutions, instance norm, strided down, transposed up."""

    name: Literal["unet"] = "unet"
    convolutions: PositiveInt = 2
    """Convolutions a level, on the way down and up."""
    deep_supervision: bool = True
    """Loss at the coarser decoder levels too (Lee 2015)."""
    upsampling_bias: bool = False
    """Whether transposed convolutions have a bias, as nnU-Net's have."""


class ResEncSection(_ResidualSection):
    """U-Net with a residual encoder (Isensee 2024, nnU-Net's ResEnc): deep on the way down, thin on the way up."""

    name: Literal["resenc"] = "resenc"
    convolutions: PositiveInt = 1
    """Convolutions a level on the way up."""
    deep_supervision: bool = True
    """Loss at the coarser decoder levels too (Lee 2015)."""
    upsampling_bias: bool = False
    """Whether transposed convolutions have a bias, as nnU-Net's have."""


class DeepLabSection(_OneOutput, _ResidualSection):
    """DeepLabV3+ (Chen 2018) on a residual encoder: atrous spatial pyramid pooling, one skip; upsampled linearly."""

    name: Literal["deeplab"] = "deeplab"
    atrous: tuple[PositiveInt, ...] = (2,)
    """Dilation of each further residual block at the coarsest level; they see what coarser levels would see."""
    rates: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (6, 12, 18)
    """Dilations of the pyramid's branches, in voxels of the coarsest level; the plan fits them to its size."""
    pyramid: PositiveInt = 64
    """Feature maps of each branch of the pyramid, and of the decoder."""
    skip: NonNegativeInt = 1
    """Level that the decoder works at, with its features; the logits are upsampled from there."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.skip >= len(self.features) - 1:
            raise ValueError(f"skip is a level above the coarsest: 0 to {len(self.features) - 2}, not {self.skip}")
        if list(self.rates) != sorted(set(self.rates)):
            raise ValueError(f"rates rise from branch to branch, {self.rates} do not")
        return self


class AttentionUNetSection(_OneOutput, _SteppedSection):
    """Attention U-Net (Oktay 2018): what a skip hands on is weighed by the level below; batch norm; MONAI's."""

    name: Literal["attention_unet"] = "attention_unet"

    @model_validator(mode="after")
    def _monai_can_build_it(self) -> Self:
        if len({size for axes in self.kernels for size in axes}) > 1:
            raise ValueError("all kernels of an attention_unet have one size along all axes")
        if min(self.features) < 2:
            raise ValueError("an attention_unet needs at least 2 features a level")
        return self


class SegResNetSection(_OneOutput, _HalvedSection):
    """SegResNet (Myronenko 2018): residual blocks, group norm, added skips; MONAI's."""

    name: Literal["segresnet"] = "segresnet"
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
    def halvings(self) -> int:
        """How often each axis is halved."""
        return len(self.blocks_up)


class SwinUNETRSection(_OneOutput, _HalvedSection):
    """Swin UNETR (Hatamizadeh 2022): attention in shifted windows on the way down, convolutions up; MONAI's."""

    name: Literal["swin_unetr"] = "swin_unetr"
    features: Annotated[int, Field(gt=0, le=192)] = 24
    """Feature maps of the finest level, doubled a level; a multiple of 12, 192 at most. The paper has 48."""
    depths: tuple[_Depth, _Depth, _Depth, _Depth] = (2, 2, 2, 2)
    """Transformer blocks of each stage, 32 at most."""
    heads: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 6, 12, 24)
    """Attention heads of each stage; they share its features evenly."""
    window: Annotated[int, Field(gt=0, le=32)] = 7
    """Voxels along each axis of the windows that attention looks through, 32 at most."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.features % 12:
            raise ValueError(f"features of a swin_unetr are a multiple of 12, {self.features} is not")
        for stage, heads in enumerate(self.heads):
            if self.features * 2**stage % heads:
                raise ValueError(f"stage {stage} has {self.features * 2**stage} features, no multiple of {heads} heads")
        return self

    @property
    def halvings(self) -> int:
        """How often each axis is halved."""
        return _SWIN_STEPS


class MedNeXtSection(_HalvedSection):
    """MedNeXt (Roy 2023): depthwise convolutions and wide 1×1×1 ones, as in ConvNeXt; MONAI's. The default is its S."""

    name: Literal["mednext"] = "mednext"
    features: PositiveInt = 32
    """Feature maps of the finest level, doubled a level."""
    kernel: PositiveInt = 3
    """Size of the depthwise kernels along each axis, odd; the paper has 3 and 5."""
    blocks_down: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (2, 2, 2, 2)
    """Blocks of each level on the way down, finest first."""
    blocks_bottom: PositiveInt = 2
    """Blocks of the coarsest level."""
    blocks_up: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    """Blocks of each level on the way up, coarsest first."""
    expansion_down: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    """How many times wider the blocks of each level are inside."""
    expansion_bottom: PositiveInt = 2
    expansion_up: tuple[PositiveInt, ...] = (2, 2, 2, 2)
    """As on the way down, coarsest first."""
    deep_supervision: bool = True
    """Loss at the coarser decoder levels and at the bottom too (Lee 2015)."""

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len({len(axis) for axis in (self.blocks_down, self.blocks_up, self.expansion_down, self.expansion_up)}) > 1:
            raise ValueError("blocks_down, blocks_up, expansion_down and expansion_up need the same number of levels")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel is odd, {self.kernel} is not")
        return self

    @property
    def halvings(self) -> int:
        """How often each axis is halved."""
        return len(self.blocks_down)


class OwnNetworkSection(Section):
    """A module of one's own, given from Python; the configuration says only what the patches have to be like."""

    name: Literal["own"] = "own"
    dims: Literal[2, 3]
    """2: slices; 3: volumes."""
    factors: tuple[PositiveInt, ...]
    """What the size of an input has to be a multiple of, along each axis."""
    deep_supervision: bool = False
    """Whether it gives a list of logits while training, finest first."""

    @model_validator(mode="after")
    def _one_factor_an_axis(self) -> Self:
        if len(self.factors) != self.dims:
            raise ValueError(f"factors needs {self.dims} numbers, one an axis")
        return self

    @property
    def width(self) -> int:
        """Feature maps of the finest level: not known, so 0."""
        return 0


NetworkSection = Annotated[
    UNetSection
    | ResEncSection
    | DeepLabSection
    | SegResNetSection
    | SwinUNETRSection
    | MedNeXtSection
    | AttentionUNetSection
    | OwnNetworkSection,
    Field(discriminator="name"),
]
