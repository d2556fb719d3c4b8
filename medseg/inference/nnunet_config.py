"""What nnU-Net does with an image, said in medseg's configuration.

nnU-Net takes the voxels as they lie in the file (z, y, x), reorders the axes by ``transpose_forward``, cuts away what
is zero around the body, normalises, and resamples with cubic splines, slice by slice where slices are far apart. It
averages logits over windows, mirrored inputs and folds, interpolates them linearly to the image's grid (by the nearest
slice where slices are far apart), and takes the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from medseg.config.schemes import labels_section
from medseg.config.sections import (
    ChannelSection,
    DataSection,
    InferenceSection,
    Intensity,
    PostprocessingSection,
    PreprocessingSection,
    RunConfig,
)
from medseg.config.training import (
    AugmentationSection,
    BudgetSection,
    OptimizerSection,
    SamplingSection,
    TrainingSection,
)
from medseg.core.errors import BundleError, LabelError
from medseg.core.labels import LabelScheme
from medseg.data.structures import scheme_from_values

from .nnunet_network import network_section
from .nnunet_plans import Configuration, DatasetDescription, IntensityProperties, Plans
from .nnunet_weights import Checkpoint

STORED = "ijk"
_RAS_READERS = {"NibabelIOWithReorient", "SimpleITKIOWithReorient"}
_SCHEMES = {
    "CTNormalization": Intensity.CT,
    "ZScoreNormalization": Intensity.ZSCORE,
    "NoNormalization": Intensity.NONE,
    "RescaleTo01Normalization": Intensity.RESCALE,
    "RGBTo01Normalization": Intensity.UNIT,
}
_RGB = ("red", "green", "blue")
_RESAMPLING = "resample_data_or_seg_to_shape"
_ORDERS = {"data": 3, "probabilities": 1}
_STEPS = 250
_SMALLEST_STD = 1e-8


@dataclass(frozen=True)
class NnunetModel:
    """What a trained configuration says of itself.

    Attributes:
        plans: Of the data set.
        configuration: The one that was trained.
        description: Of the data set.
        stored: Where i, j, k of its files point, such as ``LPS``, or ``ijk`` if nobody knows.
    """

    plans: Plans
    configuration: Configuration
    description: DatasetDescription
    stored: str

    @property
    def dims(self) -> Literal[2, 3]:
        """2 for slices, 3 for volumes."""
        return 2 if len(self.configuration.patch_size) == 2 else 3


def fixed_orientation(plans: Plans) -> str | None:
    """Where i, j, k point after nnU-Net's reader, if that turns images; else None."""
    return "RAS" if plans.image_reader_writer in _RAS_READERS else None


def model_config(model: NnunetModel, checkpoint: Checkpoint, postprocessing: PostprocessingSection) -> RunConfig:
    """The configuration of one network of a model.

    Training sections say what nnU-Net did, as far as medseg has words for it, so that the model can be trained on.

    Raises:
        BundleError: If nnU-Net would do something with an image that medseg does not do.
    """
    _check_known(model)
    plans, plan = model.plans, model.configuration
    first, second, *third = plan.patch_size
    budget = BudgetSection(epochs=checkpoint.epochs, steps=_STEPS)
    optimizer = OptimizerSection(name="sgd", lr=1e-2, weight_decay=3e-5, warmup=0, decay="poly")
    try:
        return RunConfig(
            name=f"{plans.dataset_name} {checkpoint.configuration}",
            data=DataSection(folder=Path()),
            channels=_channels(model),
            labels=labels_section(label_scheme_of(model.description)),
            preprocessing=PreprocessingSection(
                orientation=network_axes(model.stored, plans.transpose_forward, model.dims),
                spacing=_spacing(model),
                resample_slices=model.dims == 3,
                crop="nonzero",
                resampling="nnunet",
            ),
            network=network_section(plan.architecture, model.dims),
            sampling=SamplingSection(patch=(first, second, third[0] if third else 1), batch=plan.batch_size),
            augmentation=AugmentationSection(mirror_axes=checkpoint.mirror_axes),
            training=TrainingSection(budget=budget, optimizer=optimizer, ema=0),
            inference=InferenceSection(mirror=bool(checkpoint.mirror_axes), average="logits"),
            postprocessing=postprocessing,
        )
    except ValidationError as error:
        raise BundleError(f"plans.json: {'; '.join(one['msg'].lower() for one in error.errors())}") from error


def label_scheme_of(description: DatasetDescription) -> LabelScheme:
    """The structures or regions, in the order of the network's outputs.

    Raises:
        BundleError: If labels are not numbered 1, 2, 3, … without a gap, as nnU-Net writes them.
    """
    labels = dict(description.labels)
    if not description.has_regions:
        single = {name: value[0] if isinstance(value, tuple) and value else value for name, value in labels.items()}
        labels = dict(sorted(single.items(), key=lambda item: item[1]))
    try:
        scheme = scheme_from_values(labels, "dataset.json")
    except LabelError as error:
        raise BundleError(str(error)) from error
    if scheme.values != tuple(range(1, len(scheme.values) + 1)):
        raise BundleError(f"dataset.json: labels are {list(scheme.values)}, nnU-Net numbers them from 1 without a gap")
    return scheme


def network_axes(stored: str, transpose: Sequence[int], dims: int) -> str:
    """Letters of the network's axes: nnU-Net's order z, y, x, transposed; for slices, the axis across them comes last.

    Args:
        stored: Letters of the axes i, j, k of a file, which are x, y, z.
        transpose: ``transpose_forward`` of the plans.
        dims: 2 or 3.

    Raises:
        BundleError: If ``transpose`` does not name each axis once.
    """
    if sorted(transpose) != [0, 1, 2]:
        raise BundleError(f"plans.json: transpose_forward is {list(transpose)}, which does not name each axis once")
    letters = [stored[::-1][axis] for axis in transpose]
    return "".join(letters if dims == 3 else [*letters[1:], letters[0]])


def _spacing(model: NnunetModel) -> tuple[float, float, float]:
    first, second, *third = model.configuration.spacing
    if len(model.configuration.spacing) != model.dims:
        raise BundleError("plans.json: spacing and patch_size have different numbers of axes")
    # For slices the last one is not used: nothing is resampled across them.
    return first, second, third[0] if third else model.plans.original_median_spacing_after_transp[0]


def _channels(model: NnunetModel) -> tuple[ChannelSection, ...]:
    names = _channel_names(model)
    plan, properties = model.configuration, model.plans.foreground_intensity_properties_per_channel
    if not len(names) == len(plan.normalization_schemes) == len(plan.use_mask_for_norm):
        raise BundleError("plans.json and dataset.json have different numbers of channels")
    rows = zip(names, plan.normalization_schemes, plan.use_mask_for_norm, strict=True)
    return tuple(
        _channel(name, scheme, properties.get(number), is_masked=bool(masked))
        for number, (name, scheme, masked) in enumerate(rows)
    )


def _channel(name: str, scheme: str, measured: IntensityProperties | None, *, is_masked: bool) -> ChannelSection:
    if scheme not in _SCHEMES:
        raise BundleError(f"plans.json: normalisation {scheme!r} is not known; known are {', '.join(_SCHEMES)}")
    intensity = _SCHEMES[scheme]
    if intensity is Intensity.CT:
        if measured is None:
            raise BundleError(f"plans.json: channel {name!r} is normalised as CT, and its intensities are missing")
        clip = (measured.percentile_00_5, measured.percentile_99_5)
        std = max(measured.std, _SMALLEST_STD)
        return ChannelSection(name=name, intensity=intensity, clip=clip, mean=measured.mean, std=std)
    return ChannelSection(name=name, intensity=intensity, nonzero_only=is_masked and intensity is Intensity.ZSCORE)


def _channel_names(model: NnunetModel) -> tuple[str, ...]:
    """Names that differ; three channels of one picture are red, green and blue."""
    given = [name for _, name in sorted(model.description.channel_names.items())]
    if set(model.configuration.normalization_schemes) == {"RGBTo01Normalization"} and len(given) == len(_RGB):
        return _RGB
    return tuple(name if given.count(name) == 1 else f"{name} {number}" for number, name in enumerate(given))


def _check_known(model: NnunetModel) -> None:
    plan, plans = model.configuration, model.plans
    if plan.previous_stage is not None:
        raise BundleError(
            f"the second stage of a cascade cannot be imported, since it wants the labels of {plan.previous_stage!r} "
            "beside the image; import 3d_fullres or 3d_lowres by --configuration"
        )
    if plan.preprocessor_name != "DefaultPreprocessor" or plans.label_manager != "LabelManager":
        own = plan.preprocessor_name if plan.preprocessor_name != "DefaultPreprocessor" else plans.label_manager
        raise BundleError(f"plans.json: {own!r} is code of its makers, which a bundle does not hold")
    for what, order in _ORDERS.items():
        function: str = getattr(plan, f"resampling_fn_{what}")
        options: dict[str, object] = getattr(plan, f"resampling_fn_{what}_kwargs")
        usual = {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": None}
        if function != _RESAMPLING or usual | options != usual:
            raise BundleError(
                f"plans.json: {what} is resampled by {function!r} with {options}, known is {_RESAMPLING!r} with {usual}"
            )
