"""The typed tree of a run: what a configuration file may say.

Every field has its documentation right below it; the documentation of the schema is made from there.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from medseg.core.labels import Laterality

from .localiser import LocaliserSection
from .losses import DiceCESection, LossSection
from .networks import NetworkSection
from .patches import patch_problem
from .section import Fraction, Section
from .selection import SelectionSection
from .training import AugmentationSection, PretrainingSection, SamplingSection, TrainingSection

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
    """JSON with lists `train`, `validation` and `test` of case ids, which overrides the fractions; or, for
    `medseg train --folds`, nnU-Net's `splits_final.json` or the `folds.json` of another run."""
    validation: Fraction = 0.15
    """Share of the patients that steers early stopping and postprocessing."""
    test: Fraction = 0.0
    """Share of the patients kept aside for the last look."""
    seed: NonNegativeInt = 0
    """Seed of the shuffle."""
    folds: Literal["patients", "nnunet"] = "patients"
    """How `medseg train --folds` deals out cases: `patients` keeps each patient in one fold; `nnunet` draws the folds
    that nnU-Net draws (no patients, its own seed), to compare case by case."""


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
    RESCALE = "rescale"
    NONE = "none"


class ChannelSection(Section):
    """One channel of the image and how its intensities are normalised."""

    name: str
    """Name of the modality or sequence, such as `CT`, `T1`, `red`."""
    intensity: Intensity = Intensity.ZSCORE
    """`ct`: clip to `clip`, subtract `mean`, divide by `std`, all of the training set; `zscore`: each image by its
    own mean and deviation; `unit`: divide by 255; `rescale`: each image's smallest value to 0, its largest to 1;
    `none`: as they are."""
    clip: tuple[float, float] | None = None
    """For `ct`: the 0.5 and 99.5 percentile of the training foreground, in HU."""
    mean: float | None = None
    """For `ct`: mean of the training foreground, in HU."""
    std: PositiveFloat | None = None
    """For `ct`: standard deviation of the training foreground, in HU."""
    nonzero_only: bool = False
    """For `zscore`: measure and change only voxels that are not zero in some channel, and holes among them (nnU-Net's
    `use_mask_for_norm`, for skull-stripped images)."""
    optional: bool = False
    """Whether a case may lack this channel, in training and at prediction; training then leaves it out of some patches
    (`sampling.channel_dropout`), and the network is told which channels are there."""

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

    @field_validator("regions")
    @classmethod
    def _name_each_region_once(cls, regions: tuple[RegionSection, ...]) -> tuple[RegionSection, ...]:
        names = [region.name for region in regions]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two regions are called {doubled[0]!r}")
        return regions

    @model_validator(mode="after")
    def _masks_say_what_they_are(self) -> Self:
        """A file of masks holds one for each structure or one for each region; their number has to tell which."""
        members = [region.structures for region in self.regions]
        alike = [(structure.name,) for structure in self.structures]
        if self.overlapping and len(members) == len(alike) and members != alike:
            raise ValueError(
                "where structures overlap there may not be as many regions as structures, since a file of masks would "
                "not say which of them it holds; add a region, or leave one out"
            )
        return self


class PreprocessingSection(Section):
    """From the volume as it is to what the network sees."""

    orientation: str = "RAS"
    """Where the array axes point to; a 2D network takes its slices across the last of them. `ijk` in any order are the
    file's own axes, wherever they point: images are not turned, as nnU-Net does not."""
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Voxel size along these axes, mm; none keeps each image's own (2D images have no millimetres)."""
    resample_slices: bool = True
    """Whether the last axis is resampled too; a 2D plan leaves it alone."""
    crop: Literal["none", "nonzero"] = "none"
    """Cut away the border that is exactly zero (skull-stripped images)."""
    resampling: Literal["medseg", "nnunet"] = "medseg"
    """`nnunet`: to the letter as nnU-Net: splines do not leave the range of the image (of each slice, where slices are
    far apart), how far apart they are is judged by `spacing` itself, and results go back across such slices by the
    nearest one."""
    reference: str | None = None
    """The channel on whose grid labels and predictions lie; the others are resampled onto it, by their place in the
    patient. If none is given, all channels of a case have to lie on one grid."""

    @field_validator("orientation")
    @classmethod
    def _names_each_axis_once(cls, codes: str) -> str:
        is_stored = sorted(codes) == ["i", "j", "k"]
        if not is_stored and (len(codes) != 3 or any(len(set(codes) & set(e)) != 1 for e in ("RL", "AP", "SI"))):
            raise ValueError(
                "give three letters, one each of R/L, A/P and S/I, such as RAS; or i, j and k in some order"
            )
        return codes


class InferenceSection(Section):
    """How a volume is predicted."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Overlap of neighbouring windows."""
    mirror: bool = False
    """Average over mirrored inputs (test-time augmentation) along the training's mirror axes."""
    batch: PositiveInt = 1
    """Windows a forward pass."""
    skip_air: bool = False
    """Take windows that hold only air for background without looking at them. `medseg plan` says so where no structure
    of the training images lies in air."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over windows, mirrored inputs and members of one plan, and interpolated: probabilities, or
    logits as nnU-Net does. Members of different plans are always averaged as probabilities."""


class PostprocessingSection(Section):
    """Clean-up of predicted label maps."""

    largest_together: tuple[tuple[str, ...], ...] = ()
    """Groups of structures: of each group as a whole only the largest connected component is kept, what is removed
    becomes background. Comes before everything else, group by group."""
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
    localiser: LocaliserSection | None = None
    """A small network that first finds the region to predict in; none predicts the whole image."""
    pretraining: PretrainingSection | None = None
    """How `medseg pretrain` hides voxels; none takes the defaults."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes CUDA, then MPS, then the CPU."""

    @model_validator(mode="after")
    def _reference_is_always_there(self) -> Self:
        reference = self.preprocessing.reference
        sure = [channel.name for channel in self.channels if not channel.optional]
        if reference is not None and reference not in sure:
            raise ValueError(
                f"preprocessing.reference {reference!r} is no channel that every case has: {', '.join(sure) or 'none'}"
            )
        return self

    @model_validator(mode="after")
    def _weights_name_targets(self) -> Self:
        targets = self._targets()
        if unknown := sorted(set(self.sampling.structure_weights) - set(targets)):
            raise ValueError(f"sampling.structure_weights names {unknown}; what can be drawn is {', '.join(targets)}")
        return self

    @model_validator(mode="after")
    def _clean_up_names_targets(self) -> Self:
        section, targets = self.postprocessing or PostprocessingSection(), self._targets()
        named = {*section.largest_component, *section.fill_holes, *chain(*section.largest_together)}
        if unknown := sorted(named - set(targets)):
            raise ValueError(f"postprocessing names {unknown}; what is predicted is {', '.join(targets)}")
        return self

    @model_validator(mode="after")
    def _weights_are_as_many_as_outputs(self) -> Self:
        weights, labels = self.training.class_weights, self.labels
        outputs = len(self._targets()) + (not labels.regions and not labels.overlapping)
        if isinstance(weights, tuple) and len(weights) != outputs:
            raise ValueError(f"training.class_weights holds {len(weights)} numbers, the network has {outputs} outputs")
        return self

    @model_validator(mode="after")
    def _patch_fits_network(self) -> Self:
        if problem := patch_problem(self.sampling.patch, self.network):
            raise ValueError(f"sampling.patch {self.sampling.patch} {problem}")
        return self

    def _targets(self) -> list[str]:
        return [one.name for one in self.labels.regions or self.labels.structures]
