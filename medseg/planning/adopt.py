"""A plan that another model's weights fit: its network, and the images as that network knows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medseg.config.networks import NetworkSection
from medseg.config.sections import ChannelSection, RunConfig
from medseg.config.training import InitSection
from medseg.core.errors import ConfigError
from medseg.inference.monai_bundle import is_monai_bundle, read_monai_network
from medseg.inference.monai_section import monai_section
from medseg.inference.starting_weights import read_starting_weights

from .plan import Plan
from .topology import fitted

_BODY = dict(zip("RLAPSI", "xxyyzz", strict=True))


@dataclass(frozen=True)
class Model:
    """What a plan may take over from a model.

    Attributes:
        folder: Where it lies, as ``training.init.bundle`` shall say.
        network: Its network.
        config: What it was trained with; None for a MONAI bundle, of which only the network is known.
    """

    folder: Path
    network: NetworkSection
    config: RunConfig | None = None


def read_model(folder: Path) -> Model:
    """What can be taken over from a bundle, a pretraining or a MONAI bundle.

    Raises:
        BundleError: If it is none of them, or no section builds its network.
    """
    if is_monai_bundle(folder):
        return Model(folder, monai_section(read_monai_network(folder)))
    config = read_starting_weights(folder).config
    assert config is not None  # noqa: S101 - only MONAI's have none
    return Model(folder, config.network, config)


def adopted(plan: Plan, model: Model) -> Plan:
    """The plan with the model's network, patch, voxel size and normalisation, and with ``training.init`` naming it.

    The patch is the model's, as its windows are what the network knows; a MONAI bundle does not tell one, so the
    planned patch is fitted to its network as in any plan. Batch, budget and everything else stay as planned.

    Args:
        plan: For the data at hand.
        model: Whose weights it shall fit.

    Raises:
        ConfigError: If the plan has another number of dimensions.
    """
    config, dims = plan.config, model.network.dims
    if config.network.dims != dims:
        raise ConfigError(f"the model's network is {dims}D, the plan is for {config.network.dims}D; pass --dims {dims}")
    patch = model.config.sampling.patch if model.config else _fitted(config.sampling.patch, model.network)
    training = config.training.model_copy(update={"init": InitSection(bundle=model.folder)})
    changes: dict[str, object] = {
        "network": model.network,
        "sampling": config.sampling.model_copy(update={"patch": patch}),
        "training": training,
    }
    if model.config is not None:
        changes |= _images_like(config, model.config)
    made = RunConfig.model_validate(config.model_copy(update=changes).model_dump())
    what = "network, patch, voxel size and normalisation" if model.config else "network"
    note = f"{what} are the model's, so that its weights fit: patch {'x'.join(map(str, patch))}"
    return Plan(_mirrored(made, config), (*plan.notes, note))


def _images_like(config: RunConfig, other: RunConfig) -> dict[str, object]:
    """Orientation, voxel size and normalisation as the model knows them; cropping as planned."""
    known = {channel.name.casefold(): channel for channel in other.channels}
    channels = tuple(_normalised(channel, known.get(channel.name.casefold())) for channel in config.channels)
    taken = {
        name: getattr(other.preprocessing, name) for name in ("orientation", "spacing", "resample_slices", "resampling")
    }
    return {"channels": channels, "preprocessing": config.preprocessing.model_copy(update=taken)}


def _normalised(channel: ChannelSection, like: ChannelSection | None) -> ChannelSection:
    if like is None:
        return channel
    taken = {name: getattr(like, name) for name in ("intensity", "clip", "mean", "std", "nonzero_only")}
    return channel.model_copy(update=taken)


def _mirrored(made: RunConfig, planned: RunConfig) -> RunConfig:
    """Mirrored along the same axes of the body as planned, wherever these lie in the array now."""
    wanted = {_BODY[planned.preprocessing.orientation[axis]] for axis in planned.augmentation.mirror_axes}
    axes = tuple(a for a in range(made.network.dims) if _BODY.get(made.preprocessing.orientation[a]) in wanted)
    return made.model_copy(update={"augmentation": made.augmentation.model_copy(update={"mirror_axes": axes})})


def _fitted(patch: tuple[int, int, int], network: NetworkSection) -> tuple[int, int, int]:
    i, j, k = (*fitted(patch[: network.dims], network), 1)[:3]
    return i, j, k
