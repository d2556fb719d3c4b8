"""What the two JSON files of a trained nnU-Net say: ``plans.json`` and ``dataset.json``, as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from medseg.core.errors import BundleError, DataError
from medseg.data.documents import parse_document, read_json

_LARGEST = 64 * 2**20
_MOST_LEVELS = 16
M = TypeVar("M", bound=BaseModel)
Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=2, max_length=3)]
PerLevel = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=2, max_length=_MOST_LEVELS)]
PerLevelAndAxis = Annotated[tuple[Sizes, ...], Field(min_length=2, max_length=_MOST_LEVELS)]
Blocks = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=_MOST_LEVELS)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class IntensityProperties(_Document):
    """Of one channel inside the structures of the training cases."""

    mean: float
    std: float
    percentile_00_5: float
    percentile_99_5: float


class Architecture(_Document):
    """The network: the name of a class, and its arguments."""

    network_class_name: str
    arch_kwargs: dict[str, Any]

    @property
    def kind(self) -> str:
        """The class without its module; where it lies differs between versions."""
        return self.network_class_name.rpartition(".")[2]


class NetworkArguments(BaseModel):
    """Arguments of nnU-Net's U-Nets; what is not here would make another network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_stages: int
    features_per_stage: PerLevel
    conv_op: str
    kernel_sizes: PerLevelAndAxis
    strides: PerLevelAndAxis
    n_conv_per_stage: Blocks | None = None
    n_blocks_per_stage: Blocks | None = None
    n_conv_per_stage_decoder: Blocks
    conv_bias: bool = False
    norm_op: str | None = None
    norm_op_kwargs: dict[str, Any] | None = None
    dropout_op: None = None
    dropout_op_kwargs: dict[str, Any] | None = None
    nonlin: str | None = None
    nonlin_kwargs: dict[str, Any] | None = None
    deep_supervision: bool = False


class Configuration(_Document):
    """One configuration of the plans, such as ``3d_fullres``."""

    spacing: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2, max_length=3)]
    patch_size: Sizes
    batch_size: Annotated[int, Field(ge=1)] = 2
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool | None, ...]
    preprocessor_name: str = "DefaultPreprocessor"
    resampling_fn_data: str
    resampling_fn_data_kwargs: dict[str, Any]
    resampling_fn_probabilities: str
    resampling_fn_probabilities_kwargs: dict[str, Any]
    architecture: Architecture
    previous_stage: str | None = None


class Plans(_Document):
    """``plans.json``."""

    dataset_name: str = "nnU-Net"
    image_reader_writer: str = "SimpleITKIO"
    label_manager: str = "LabelManager"
    transpose_forward: tuple[int, int, int]
    original_median_spacing_after_transp: tuple[float, float, float]
    original_median_shape_after_transp: tuple[float, float, float]
    foreground_intensity_properties_per_channel: dict[int, IntensityProperties] = Field(
        validation_alias=AliasChoices(
            "foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"
        )
    )
    configurations: dict[str, dict[str, Any]]

    def configuration(self, name: str) -> Configuration:
        """One of the configurations, with what it inherits from another.

        Raises:
            BundleError: If there is none of that name, it inherits from itself, or lacks something.
        """
        merged: dict[str, Any] = {}
        seen: list[str] = []
        following: str | None = name
        while following is not None:
            if following in seen or following not in self.configurations:
                known = ", ".join(self.configurations)
                raise BundleError(f"plans.json: no sound configuration {following!r}; there are {known}")
            seen.append(following)
            own = self.configurations[following]
            merged = own | merged
            following = own.get("inherits_from")
        return _parsed(_modern(merged), Configuration, f"plans.json: {name}")


class DatasetDescription(_Document):
    """``dataset.json``."""

    channel_names: dict[int, str] = Field(validation_alias=AliasChoices("channel_names", "modality"))
    labels: dict[str, int | tuple[int, ...]]
    regions_class_order: tuple[int, ...] | None = None

    @property
    def has_regions(self) -> bool:
        """Whether the network has an output for each region rather than for each label (nnU-Net's rule)."""
        return any(isinstance(value, tuple) and len(value) > 1 for value in self.labels.values())


def read_plans(folder: Path) -> Plans:
    """The plans of a model folder.

    Raises:
        BundleError: If they are missing, too large, or lack something.
    """
    return _parsed(_tree(folder / "plans.json"), Plans, "plans.json")


def read_description(folder: Path) -> DatasetDescription:
    """The description of the data set that a model was trained on.

    Raises:
        BundleError: If it is missing, too large, or lacks something.
    """
    return _parsed(_tree(folder / "dataset.json"), DatasetDescription, "dataset.json")


def network_arguments(architecture: Architecture) -> NetworkArguments:
    """The arguments of a network.

    Raises:
        BundleError: If one is missing, or is none of those of nnU-Net's U-Nets.
    """
    return _parsed(_spread(architecture.arch_kwargs), NetworkArguments, "plans.json: architecture")


def _tree(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, _LARGEST)
    except (DataError, OSError) as error:
        raise BundleError(f"{path.name} of the nnU-Net model cannot be read: {error}") from error


def _parsed(tree: dict[str, Any], model: type[M], name: str) -> M:
    try:
        return parse_document(tree, model, name)
    except DataError as error:
        raise BundleError(str(error)) from error


def _spread(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that stand for all levels, written out."""
    spread = dict(arguments)
    levels = arguments.get("n_stages")
    if isinstance(levels, int) and 2 <= levels <= _MOST_LEVELS:
        for name, count in (("n_conv_per_stage", 0), ("n_blocks_per_stage", 0), ("n_conv_per_stage_decoder", 1)):
            if isinstance(arguments.get(name), int):
                spread[name] = [arguments[name]] * (levels - count)
    return spread


def _modern(configuration: dict[str, Any]) -> dict[str, Any]:
    """A configuration with an ``architecture``, which plans before nnU-Net 2.2 say in other words."""
    if "architecture" in configuration or "UNet_class_name" not in configuration:
        return configuration
    old, kind = configuration, configuration["UNet_class_name"]
    try:
        dims, levels = len(old["patch_size"]), len(old["n_conv_per_stage_encoder"])
        base, most = int(old["UNet_base_num_features"]), int(old["unet_max_num_features"])
        arguments = {
            "n_stages": levels,
            "features_per_stage": [min(base * 2**level, most) for level in range(min(levels, _MOST_LEVELS + 1))],
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": old["conv_kernel_sizes"],
            "strides": old["pool_op_kernel_sizes"],
            "n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage": old["n_conv_per_stage_encoder"],
            "n_conv_per_stage_decoder": old["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        }
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError("plans.json: its configuration is of an old form, and something is missing in it") from error
    return configuration | {"architecture": {"network_class_name": str(kind), "arch_kwargs": arguments}}
