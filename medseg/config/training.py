"""How patches are drawn and changed, and how the loop runs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from .section import Fraction, Section

Triple = tuple[PositiveInt, PositiveInt, PositiveInt]


class SamplingSection(Section):
    """How patches are drawn."""

    patch: Triple
    """Voxels of a training patch along the network's axes; 1 along the last for a 2D network."""
    batch: PositiveInt = 2
    """Patches a step, per process."""
    foreground: Fraction = 0.33
    """Share of the patches centred on a structure; each structure present is equally likely, rare ones included."""


class AugmentationSection(Section):
    """Random changes of training patches; probabilities a patch, ranges as in nnU-Net."""

    enabled: bool = True
    rotation: Fraction = 0.2
    """Probability of a rotation."""
    rotation_degrees: NonNegativeFloat = 30.0
    """Largest angle around each axis (in-plane for 2D)."""
    scaling: Fraction = 0.2
    """Probability of a zoom."""
    scale_range: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.4)
    """Zoom factors."""
    noise: Fraction = 0.1
    """Probability of Gaussian noise, standard deviation up to 0.1."""
    blur: Fraction = 0.2
    """Probability of a Gaussian blur, sigma 0.5 to 1 voxel."""
    brightness: Fraction = 0.15
    """Probability of a factor of 0.75 to 1.25."""
    contrast: Fraction = 0.15
    """Probability of a contrast factor of 0.75 to 1.25 that keeps the range."""
    low_resolution: Fraction = 0.25
    """Probability of a down- and upsampling by 0.5 to 1."""
    gamma: Fraction = 0.3
    """Probability of a gamma of 0.7 to 1.5 that keeps mean and deviation; a third of them inverted."""
    mirror_axes: tuple[NonNegativeInt, ...] = (0, 1, 2)
    """Axes that are mirrored with probability 0.5 each."""


class OptimizerSection(Section):
    """Optimizer and learning rate."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov 2019), or SGD with Nesterov momentum 0.99 as in nnU-Net."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate."""
    weight_decay: NonNegativeFloat = 1e-2
    """Decoupled for AdamW, L2 for SGD."""
    warmup: Fraction = 0.02
    """Share of the training over which the rate rises from zero."""
    decay: Literal["cosine", "poly"] = "cosine"
    """How it falls to zero: half a cosine, or (1 - t) ** 0.9."""


class BudgetSection(Section):
    """How long to train: epochs or minutes, one of them."""

    epochs: PositiveInt | None = None
    """Passes of `steps` optimizer steps."""
    minutes: PositiveFloat | None = None
    """Wall time of the training proper, validation included, preparation and final scoring aside."""
    steps: PositiveInt = 50
    """Optimizer steps an epoch."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError("give either epochs or minutes")
        return self


class TrainingSection(Section):
    """The loop."""

    budget: BudgetSection
    optimizer: OptimizerSection = OptimizerSection()
    grad_clip: PositiveFloat = 12.0
    """Largest norm of the gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay a step of the averaged weights that are validated and exported; 0 switches it off."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 where the device computes in it natively, fp16 on older CUDA devices, else fp32."""
    validate_every: PositiveInt = 5
    """Epochs between validations."""
    patience: PositiveInt | None = None
    """Stop after so many validations without a better mean Dice."""
    class_weights: tuple[PositiveFloat, ...] | None = None
    """A weight for each output of the network: first the background where targets exclude each other, then each
    target; none is all ones."""
    seed: NonNegativeInt = 0
    """Seed of everything random."""
    workers: NonNegativeInt = 0
    """Processes that prepare patches; 0 prepares them in the training process."""
