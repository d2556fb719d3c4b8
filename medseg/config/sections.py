"""The typed tree of a run: what a configuration file may say.

Every field has its documentation right below it; the documentation of the schema is made from there.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from medseg.core.labels import Laterality

from .networks import NetworkSection
from .section import Section
from .selection import SelectionSection

Fraction = Annotated[float, Field(ge=0, le=1)]
Triple = tuple[PositiveInt, PositiveInt, PositiveInt]
Byte = Annotated[int, Field(ge=0, le=255)]


class Layout(StrEnum):
    """How a data set lies on disk."""

    AUTO = "auto"
    MSD = "msd"
    NNUNET = "nnunet"
    PAIRS = "pairs"
    MANIFEST = "manifest"
    COCO = "coco"
    VOC = "voc"
    CITYSCAPES = "cityscapes"


class SplitSection(Section):
    """Who trains, who validates, who tests; grouped by patient."""

    file: Path | None = None
    """JSON with lists `train`, `validation` and `test` of case ids; overrides the fractions."""
    validation: Fraction = 0.15
    """Share of the patients that steers early stopping and postprocessing."""
    test: Fraction = 0.0
    """Share of the patients kept aside for the last look."""
    seed: NonNegativeInt = 0
    """Seed of the shuffle."""


class DataSection(Section):
    """Where the cases are."""

    folder: Path
    """The data set: a folder, a `dataset.json` or a manifest (.csv, .json). Relative to the working directory."""
    layout: Layout = Layout.AUTO
    """How it lies on disk; `auto` looks."""
    split: SplitSection = SplitSection()
    """Training, validation and test cases."""


class Intensity(StrEnum):
    """How intensities become comparable."""

    CT = "ct"
    ZSCORE = "zscore"
    UNIT = "unit"


class ChannelSection(Section):
    """One channel of the image and how its intensities are normalised."""

    name: str
    """Name of the modality or sequence, such as `CT`, `T1`, `red`."""
    intensity: Intensity = Intensity.ZSCORE
    """`ct`: clip to `clip`, subtract `mean`, divide by `std`, all of the training set; `zscore`: each image by its
    own mean and deviation; `unit`: divide by 255."""
    clip: tuple[float, float] | None = None
    """For `ct`: the 0.5 and 99.5 percentile of the training foreground, in HU."""
    mean: float | None = None
    """For `ct`: mean of the training foreground, in HU."""
    std: PositiveFloat | None = None
    """For `ct`: standard deviation of the training foreground, in HU."""

    @model_validator(mode="after")
    def _ct_needs_numbers(self) -> Self:
        if self.intensity is Intensity.CT and None in (self.clip, self.mean, self.std):
            raise ValueError("intensity 'ct' needs clip, mean and std; `medseg plan` measures them")
        return self


class CodeSection(Section):
    """A DICOM coded entry."""

    value: str
    scheme: str
    meaning: str


class StructureSection(Section):
    """One structure."""

    name: str
    value: PositiveInt
    colour: tuple[Byte, Byte, Byte] | None = None
    """Red, green, blue, 0 to 255; if not given, the one that the dictionary of structures recommends for the name,
    else from the default palette."""
    code: CodeSection | None = None
    """SNOMED CT or another coded entry, for DICOM outputs; if not given, the dictionary's for the name, if it has
    one."""
    category: CodeSection | None = None
    """What kind of thing it is, for DICOM outputs; if not given, the dictionary's, else *Anatomical Structure*."""
    laterality: Laterality | None = None
    """Its side, if it is one of two; if not given, the one in the name of a structure that the dictionary knows."""


class RegionSection(Section):
    """A union of structures that is learned as one; regions may overlap."""

    name: str
    structures: tuple[str, ...]
    code: CodeSection | None = None
    """As of a structure; from the dictionary of structures if it knows the name."""
    category: CodeSection | None = None
    laterality: Laterality | None = None


class LabelsSection(Section):
    """What the values of the label maps mean."""

    structures: tuple[StructureSection, ...]
    regions: tuple[RegionSection, ...] = ()
    """Learn these unions (by sigmoid channels) instead of the structures."""
    ignore: PositiveInt | None = None
    """Value of voxels that nobody labelled; they count neither in losses nor in scores."""
    overlapping: bool = False
    """Label files hold one mask a structure (4D), because structures overlap."""
    background: tuple[str, ...] = ()
    """Names of contours and segments that are left out; `*` is all that no structure is named after. A name that is
    neither here nor a structure's is an error."""


class PreprocessingSection(Section):
    """From the volume as it is to what the network sees."""

    orientation: str = "RAS"
    """Where the array axes point to; a 2D network takes its slices across the last of them."""
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Voxel size along these axes, mm; none keeps each image's own (2D images have no millimetres)."""
    resample_slices: bool = True
    """Whether the last axis is resampled too; a 2D plan leaves it alone."""
    crop: Literal["none", "nonzero"] = "none"
    """Cut away the border that is exactly zero (skull-stripped images)."""

    @field_validator("orientation")
    @classmethod
    def _names_each_axis_once(cls, codes: str) -> str:
        if len(codes) != 3 or any(len(set(codes) & set(ends)) != 1 for ends in ("RL", "AP", "SI")):
            raise ValueError("give three letters, one each of R/L, A/P and S/I, such as RAS")
        return codes


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


class InferenceSection(Section):
    """How a volume is predicted."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Overlap of neighbouring windows."""
    mirror: bool = False
    """Average over mirrored inputs (test-time augmentation) along the training's mirror axes."""
    batch: PositiveInt = 1
    """Windows a forward pass."""


class PostprocessingSection(Section):
    """Clean-up of predicted label maps."""

    largest_component: tuple[str, ...] = ()
    """Structures of which only the largest connected component is kept."""
    fill_holes: tuple[str, ...] = ()
    """Structures whose enclosed holes are filled."""


class RunConfig(Section):
    """A whole run."""

    name: str
    """Name of the run, used in reports."""
    data: DataSection
    channels: Annotated[tuple[ChannelSection, ...], Field(min_length=1)]
    labels: LabelsSection
    preprocessing: PreprocessingSection
    network: NetworkSection
    loss: LossSection = Field(default=DiceCESection())
    sampling: SamplingSection
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection
    inference: InferenceSection = InferenceSection()
    postprocessing: PostprocessingSection | None = None
    """If none is given, training chooses it on the validation cases; `{}` is no clean-up."""
    selection: SelectionSection = SelectionSection()
    """Which series of a DICOM study the model takes."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes CUDA, then MPS, then the CPU."""

    @model_validator(mode="after")
    def _patch_fits_network(self) -> Self:
        factors = (*self.network.factors, 1)[:3]
        bad = [f"{n} is no multiple of {f}" for n, f in zip(self.sampling.patch, factors, strict=True) if n % f]
        if bad:
            raise ValueError(
                f"sampling.patch {self.sampling.patch} does not fit the network's strides: {', '.join(bad)}"
            )
        if self.network.dims == 2 and self.sampling.patch[2] != 1:
            raise ValueError("a 2D network needs a patch of 1 along the last axis")
        if self.network.name == "unet" and self.sampling.patch == factors:
            raise ValueError(f"sampling.patch {factors} is one voxel at the coarsest level, too few to normalise")
        return self
