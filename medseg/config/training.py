"""How patches are drawn and changed, and how the loop runs."""

from __future__ import annotations

from pathlib import Path
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
    """Share of the patches centred on a structure."""
    balance: Literal["structure", "case", "voxel"] = "structure"
    """What is equally likely to be in their centre: each `structure`, however rare, and then each case that holds it;
    each `case`, and then each structure in it; or each `voxel` of a structure, so that large ones come most often."""
    structure_weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    """How much likelier than that a structure (or region) is, by its name; 1 for those that are not named."""
    channel_dropout: Fraction = 0.3
    """Probability that a channel that is `optional` is left out of a patch; one channel always stays."""


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
    mirror_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] = (0, 1, 2)
    """Axes that are mirrored with probability 0.5 each."""

    @model_validator(mode="after")
    def _each_axis_once(self) -> Self:
        if len(set(self.mirror_axes)) < len(self.mirror_axes):
            raise ValueError(f"mirror_axes names an axis twice: {list(self.mirror_axes)}")
        return self


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


class InitSection(Section):
    """Which model the first weights come from, and how far training may move what came from it."""

    bundle: Path
    """Folder of a bundle, of what `medseg pretrain` leaves, or of a MONAI bundle. Relative to the working directory."""
    freeze: Literal["none", "encoder"] = "none"
    """`encoder`: encoder weights that were taken whole stay as they are."""
    freeze_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the budget over which they stay; 1 for all of it."""
    encoder_lr_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of encoder weights that were taken whole, as a share of everything else's."""
    encoder_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A further factor for each encoder level above the coarsest, so that the first layers move least (Howard 2018)."""


class PretrainingSection(Section):
    """What `medseg pretrain` hides of an image, and how it scores what the network makes of it."""

    masked: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Share of a patch that is hidden."""
    block: PositiveInt = 8
    """Edge of the hidden blocks, in voxels; less along axes where the patch is shorter."""
    loss: Literal["l1", "mse"] = "l1"
    """Difference of hidden voxels from the truth: absolute or squared."""


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
    validate_every: PositiveInt | None = None
    """Epochs between validations; none spreads twelve of them evenly over the budget, fewer where they would take
    more than a tenth of its minutes."""
    patience: PositiveInt | None = None
    """Stop after so many validations without a better mean Dice; goes best with `validate_every`."""
    class_weights: tuple[PositiveFloat, ...] | Literal["balanced", "inverse_frequency"] | None = None
    """A weight for each output of the network: first the background where targets exclude each other, then each
    target; none is all ones. Or a rule that counts voxels of the training cases: `balanced` takes the median frequency
    over a class's own, in the cases that hold it (Eigen 2015); `inverse_frequency` counts all cases."""
    class_weight_ratio: Annotated[float, Field(ge=1)] = 10.0
    """Largest over smallest weight that a rule may give."""
    seed: NonNegativeInt = 0
    """Seed of everything random."""
    workers: NonNegativeInt | Literal["auto"] = "auto"
    """Processes that prepare patches; 0 prepares them in the training process. `auto`: none where the network runs on
    the CPU, else up to 8 of the cores that this process has to itself. The patches are the same for any number."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are added up before the optimizer steps: the effect of a batch so many times as large, in
    the memory of one. A step counts as one step of the budget."""
    channels_last: bool = False
    """Keep the channels of a voxel side by side in memory; can be faster on GPUs with tensor cores."""
    compile: Literal["off", "on", "graphs", "auto"] = "off"
    """`on`: compile the network with torch.compile, which costs minutes at the start; `graphs`: on CUDA also replay
    each step as a CUDA graph, for small networks that wait for the CPU; `auto`: `on` for CUDA, `off` elsewhere."""
    deterministic: bool = False
    """Repeat a run bit by bit, on the same machine with the same versions; slower on CUDA. On a CPU it is so anyway,
    unless a network uses operations without a deterministic form, which are then refused."""
    init: InitSection | None = None
    """Start from another model's weights; none starts from random ones."""
    tracking: Literal["tensorboard", "mlflow", "none"] = "tensorboard"
    """Who keeps the curves and pictures of the run: TensorBoard in `RUN/tensorboard`, MLflow (`pip install
    'medseg[mlflow]'`), or nobody."""
    tracking_uri: str | None = None
    """Server of MLflow, such as `http://localhost:5000`; none is a store of this run in `RUN/mlflow`. Curves, pictures
    of a validation case, the configuration and the model card go there."""

    @model_validator(mode="after")
    def _graphs_do_not_add_up(self) -> Self:
        if self.compile == "graphs" and self.accumulate > 1:
            # A graph's gradients are overwritten by its next replay: github.com/pytorch/pytorch/issues/169545.
            raise ValueError("compile 'graphs' does not go with accumulate above 1; take 'on'")
        return self
