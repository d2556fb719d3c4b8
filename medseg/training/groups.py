"""Which weights learn at which pace: encoders that came from another model may stay, or move less."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from medseg.config.training import InitSection, OptimizerSection
from medseg.core.errors import ConfigError

from .schedule import learning_rate


@dataclass(frozen=True)
class Pace:
    """How a weight moves.

    Attributes:
        factor: Of the learning rate.
        frozen_share: Share of the budget over which it stays as it is.
    """

    factor: float = 1.0
    frozen_share: float = 0.0


USUAL = Pace()
_NONE: Mapping[str, Pace] = MappingProxyType({})
# What the names of encoder weights begin with, finest level first; a number counts levels from the finest.
_ENCODERS = {
    "unet": (r"encoder\.(\d+)\.",),
    "resenc": (r"encoder\.(\d+)\.",),
    "deeplab": (r"encoder\.(\d+)\.", r"atrous\.(\d+)\."),
    "segresnet": (r"convInit\.", r"down_layers\.(\d+)\."),
    "swin_unetr": (r"swinViT\.patch_embed\.", r"swinViT\.layers(\d)c?\."),
    "mednext": (r"stem\.", r"(?:enc_stages|down_blocks)\.(\d+)\.", r"bottleneck\."),
}


def encoder_level(network: str, weight: str) -> tuple[int, int] | None:
    """Level of the encoder that a weight belongs to, the lowest being the finest; None if it belongs to none.

    Args:
        network: Name of the network's section.
        weight: Name of the weight.

    Raises:
        ConfigError: If it is not known which weights of that network are its encoder.
    """
    if network not in _ENCODERS:
        raise ConfigError(
            f"training.init: which weights of the network {network!r} are its encoder is known of "
            f"{', '.join(_ENCODERS)} only; leave freeze and encoder_lr_* out"
        )
    for order, pattern in enumerate(_ENCODERS[network]):
        if found := re.match(pattern, weight):
            return order, int(next(iter(found.groups()), 0))
    return None


def paces(section: InitSection, network: str, taken: Iterable[str]) -> Mapping[str, Pace]:
    """The pace of each encoder weight that was taken whole; the others have the usual one.

    Args:
        section: What is wanted.
        network: Name of the network.
        taken: Names of the weights that were taken whole.

    Raises:
        ConfigError: If encoder weights are to be frozen or slowed down, and there are none.
    """
    if section.freeze == "none" and section.encoder_lr_factor == section.encoder_lr_decay == 1:
        return _NONE
    levels = {name: level for name in taken if (level := encoder_level(network, name)) is not None}
    if not levels:
        raise ConfigError("training.init: no encoder weight was taken whole, so there is none to freeze or slow down")
    above = {level: count for count, level in enumerate(sorted(set(levels.values()), reverse=True))}
    share = 0.0 if section.freeze == "none" else section.freeze_share
    factor, decay = section.encoder_lr_factor, section.encoder_lr_decay
    return {name: Pace(factor * decay ** above[level], share) for name, level in levels.items()}


def freeze_for_good(network: nn.Module, chosen: Mapping[str, Pace]) -> None:
    """Take the weights that stay over the whole budget out of what is learned."""
    for name, parameter in network.named_parameters():
        if chosen.get(name, USUAL).frozen_share >= 1:
            parameter.requires_grad_(False)


def parameter_groups(
    network: nn.Module, weight_decay: float, chosen: Mapping[str, Pace] = _NONE
) -> list[dict[str, Any]]:
    """What an optimizer takes: kernels, and norms and biases without decay, of each pace; those of the usual one first.

    Args:
        network: Weights that learn nothing are left out.
        weight_decay: Of kernels.
        chosen: The pace of weights that have another than the usual one.
    """
    named = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
    others = {chosen.get(name, USUAL) for name, _ in named} - {USUAL}
    groups = []
    for pace in (USUAL, *sorted(others, key=lambda one: (-one.factor, one.frozen_share))):
        mine = [one for name, one in named if chosen.get(name, USUAL) == pace]
        facts = {"lr_factor": pace.factor, "frozen_share": pace.frozen_share}
        groups.append({"params": [one for one in mine if one.ndim > 1], "weight_decay": weight_decay} | facts)
        groups.append({"params": [one for one in mine if one.ndim <= 1], "weight_decay": 0.0} | facts)
    return groups


def set_learning_rates(optimizer: torch.optim.Optimizer, section: OptimizerSection, progress: float) -> None:
    """Set the learning rate of every group for this share of the budget; a rate of 0 leaves weights as they are."""
    rate = learning_rate(section, progress)
    for group in optimizer.param_groups:
        frozen = progress < group.get("frozen_share", 0.0)
        group["lr"] = 0.0 if frozen else rate * group.get("lr_factor", 1.0)
