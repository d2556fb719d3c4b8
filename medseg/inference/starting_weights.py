"""Weights that a training may start from: a bundle's, a pretraining's, a MONAI bundle's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from medseg.config.load import dump_config, load_config
from medseg.config.sections import RunConfig
from medseg.core.errors import BundleError, ConfigError
from medseg.core.files import atomic_folder
from medseg.core.labels import LabelScheme

from .bundle import portable, read_bundle
from .bundle_files import CONFIG, write_json, write_weights
from .monai_bundle import is_monai_bundle, read_monai_network, read_monai_weights
from .network import optional_channels
from .tensor_file import read_tensors

PRETRAINED = "pretrained.safetensors"
BACKGROUND, PRESENCE = "background", "presence of "


@dataclass(frozen=True, eq=False)
class StartingWeights:
    """Weights of a trained network, and what the first and the last of them are about.

    Attributes:
        model: What messages call it.
        network: The class of MONAI's network, or the name of a network section.
        weights: By name, on the CPU.
        inputs: Names of what its input channels are; empty if nobody told.
        outputs: Names of what its logits are; empty if nobody told, or if they are none that a segmentation could use.
        config: The configuration that it was trained with; None for a MONAI bundle.
    """

    model: str
    network: str
    weights: Mapping[str, Tensor]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    config: RunConfig | None = None


def read_starting_weights(folder: Path) -> StartingWeights:
    """The weights in a folder: a bundle's (of several networks the first), a pretraining's, or a MONAI bundle's.

    Nothing in the folder is run as code.

    Raises:
        BundleError: If it is none of them, or damaged.
    """
    if (folder / PRETRAINED).is_file():
        return _pretrained(folder)
    if is_monai_bundle(folder):
        found = read_monai_network(folder)
        weights = read_monai_weights(folder)
        return StartingWeights(
            f"the MONAI bundle's {found.target}", found.target, weights, found.channels, found.outputs
        )
    bundle = read_bundle(folder)
    config, network = bundle.members[0].config, bundle.members[0].network
    return StartingWeights(
        f"model {config.name!r}",
        config.network.name,
        network.state_dict(),
        input_names(config),
        output_names(bundle.scheme),
        config,
    )


def write_pretrained(folder: Path, config: RunConfig, network: nn.Module, facts: Mapping[str, object]) -> None:
    """Leave a pretrained network as ``read_starting_weights`` finds it; a folder that was there is replaced.

    Args:
        folder: To write.
        config: What it was pretrained with.
        network: Its weights are written.
        facts: What to tell about it, as JSON.
    """
    with atomic_folder(folder) as partial:
        write_weights(partial / PRETRAINED, network)
        (partial / CONFIG).write_text(dump_config(portable(config)), encoding="utf-8")
        write_json(partial / "pretraining.json", facts)


def input_names(config: RunConfig) -> tuple[str, ...]:
    """What each channel that reaches the network is: the image's channels, then the masks of optional ones."""
    names = tuple(channel.name for channel in config.channels)
    return (*names, *(f"{PRESENCE}{names[place]}" for place in optional_channels(config)))


def output_names(scheme: LabelScheme) -> tuple[str, ...]:
    """What each logit is: the background where targets exclude each other, then the targets."""
    return (*((BACKGROUND,) if scheme.is_exclusive else ()), *scheme.targets)


def _pretrained(folder: Path) -> StartingWeights:
    try:
        config = load_config(folder / CONFIG)
    except ConfigError as error:
        raise BundleError(f"{str(folder)!r}: the configuration of the pretraining cannot be read: {error}") from error
    weights = read_tensors(folder / PRETRAINED)
    return StartingWeights(
        f"pretraining {config.name!r}", config.network.name, weights, input_names(config), (), config
    )
