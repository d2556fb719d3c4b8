"""Parts of a run that a user brings from Python."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medseg.config.networks import OwnNetworkSection
from medseg.config.sections import RunConfig
from medseg.core.errors import ConfigError
from medseg.inference.network import input_channels

from .callbacks import Callback


@dataclass(frozen=True, eq=False)
class OwnParts:
    """A network, a loss and callbacks of one's own, in the place of or beside what the configuration names.

    Attributes:
        network: Takes images of shape ``(b, channels, *patch)`` and gives logits ``(b, outputs, *patch)``: an output
            for each target, and before them one for the background where targets exclude each other. It is copied, and
            stays as it is. Attributes that it may have: ``factors``, what the size of an image has to be a multiple of
            along each axis (those of the configuration's network if not given); ``deep_supervision``, whether it gives
            a list of logits while training, finest first.
        loss: Takes what the network gives, and the target: class indices ``(b, *patch)``, or masks
            ``(b, target, *patch)`` where targets may overlap; 255 is to be ignored. Gives a scalar.
        callbacks: Are told how it goes, beside the progress display and TensorBoard.
    """

    network: nn.Module | None = None
    loss: nn.Module | None = None
    callbacks: tuple[Callback, ...] = ()


NO_PARTS = OwnParts()


def with_own_network(config: RunConfig, network: nn.Module | None, outputs: int) -> RunConfig:
    """The configuration that says that the network is one's own, after a look at whether it fits the data.

    Args:
        config: Its network only says how many axes a patch has; none is built.
        network: One's own; None leaves the configuration as it is.
        outputs: Logits that are needed a voxel.

    Raises:
        ConfigError: If the network does not take the patch, or does not give as many logits for each of its voxels.
    """
    if network is None:
        return config
    section = OwnNetworkSection(
        dims=config.network.dims,
        factors=tuple(getattr(network, "factors", config.network.factors)),
        deep_supervision=bool(getattr(network, "deep_supervision", False)),
    )
    shape = (1, input_channels(config), *config.sampling.patch[: section.dims])
    wanted = (1, outputs, *shape[2:])
    found = tuple(_logits(network, torch.zeros(shape)).shape)
    if found != wanted:
        raise ConfigError(f"the own network gives logits of shape {found} for an image of {shape}; {wanted} are needed")
    tree = config.model_dump() | {"network": section.model_dump()}
    return RunConfig.model_validate(tree)


def _logits(network: nn.Module, image: Tensor) -> Tensor:
    was_training = network.training
    device = next((parameter.device for parameter in network.parameters()), image.device)
    try:
        with torch.no_grad():
            logits = network.eval()(image.to(device))
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the own network does not take an image of shape {tuple(image.shape)}: {error}") from error
    finally:
        network.train(was_training)
    if not isinstance(logits, Tensor):
        raise ConfigError("the own network gives no tensor in evaluation mode; lists are for training only")
    return logits
