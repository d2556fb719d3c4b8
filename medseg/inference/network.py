"""The network that a configuration describes, with as many inputs as its images have channels."""

from __future__ import annotations

import copy
import hashlib

import torch
from torch import nn

from medseg.config.sections import RunConfig
from medseg.networks.build import build_network
from medseg.networks.presence import with_presence


def input_channels(config: RunConfig) -> int:
    """Channels that reach the network: the image's, and for each optional one a channel that says if it is there."""
    return len(config.channels) + len(optional_channels(config))


def optional_channels(config: RunConfig) -> tuple[int, ...]:
    """Places of the channels that an image may lack."""
    return tuple(place for place, channel in enumerate(config.channels) if channel.optional)


def network_of(config: RunConfig, outputs: int, own: nn.Module | None = None) -> nn.Module:
    """A network with random weights; it takes the image's channels and finds out itself which are missing.

    Args:
        config: Says which network, and which channels.
        outputs: Logits a voxel.
        own: A module of one's own, of which a copy is taken in the place of what the configuration describes.

    Raises:
        ConfigError: If the configuration says that the network is one's own, and none is given.
    """
    network = build_network(config.network, input_channels(config), outputs) if own is None else copy.deepcopy(own)
    return with_presence(network, optional_channels(config))


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of all weights and their names, hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
