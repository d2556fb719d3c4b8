"""Weights of MONAI bundles, taken without running anything that the bundle says.

A bundle describes its network in ``configs/inference.json`` under ``network_def``. MONAI evaluates texts there that
begin with ``$`` as Python; here they are never evaluated: where one says something that is needed, the bundle is
refused. References (``@name``) are looked up in the same file, which is no more than reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from medseg.config.plain_yaml import plain_yaml
from medseg.core.errors import BundleError, ReadError
from medseg.data.documents import read_json, read_text

from .tensor_file import read_tensors

_CONFIGS = ("inference.json", "inference.yaml", "inference.yml", "train.json", "train.yaml")
_WEIGHTS = ("model.safetensors", "model.pt", "model.pth")
_NETWORKS = ("network_def", "network")
_LARGEST_CONFIG = 4 * 2**20
_MOST_HOPS = 8


@dataclass(frozen=True)
class MonaiNetwork:
    """The network of a bundle, as plain data.

    Attributes:
        target: The last part of ``_target_``: the name of a class, such as ``SegResNet``.
        arguments: Its arguments, with references followed; those that are expressions are still texts with a ``$``.
        channels: Names of its image channels; empty if ``metadata.json`` does not tell.
        outputs: Names of its logits, likewise.
    """

    target: str
    arguments: Mapping[str, Any]
    channels: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def argument(self, name: str, default: Any) -> Any:
        """One argument; ``default`` is what MONAI takes if it is not given.

        Raises:
            BundleError: If it is an expression.
        """
        value = self.arguments.get(name, default)
        if _holds_expression(value):
            raise BundleError(
                f"network_def.{name} of the MONAI bundle is an expression ($...), which is never evaluated; write its "
                "value into the bundle's inference configuration"
            )
        return value


def is_monai_bundle(folder: Path) -> bool:
    """Whether a folder is laid out as a MONAI bundle, with weights in ``models/``."""
    return _config_file(folder) is not None and _weights_file(folder) is not None


def read_monai_weights(folder: Path) -> Mapping[str, Tensor]:
    """The weights in ``models/`` of a bundle, by the names that MONAI's class gives them; ``model.safetensors`` first.

    Raises:
        BundleError: If there are none, or the file is damaged or holds code.
    """
    path = _weights_file(folder)
    if path is None:
        raise BundleError(f"MONAI bundle {str(folder)!r} holds none of {', '.join(f'models/{n}' for n in _WEIGHTS)}")
    return read_tensors(path)


def read_monai_network(folder: Path) -> MonaiNetwork:
    """What the bundle says about its network.

    Raises:
        BundleError: If the configuration is missing or damaged, describes no network, or names its class by an
            expression.
    """
    path = _config_file(folder)
    if path is None:
        raise BundleError(f"{str(folder)!r} is no MONAI bundle: it needs configs/inference.json and models/model.pt")
    tree = _tree(path)
    described = next((_resolved(tree[name], tree) for name in _NETWORKS if name in tree), None)
    if not isinstance(described, dict):
        raise BundleError(f"configs/{path.name}: network_def is no plain description of a network")
    target = described.get("_target_", described.get("_name_"))
    if not isinstance(target, str) or target.startswith("$"):
        raise BundleError(f"configs/{path.name}: network_def names its class by an expression or not at all")
    arguments = {name: _resolved(value, tree) for name, value in described.items() if not name.startswith("_")}
    metadata = folder / "configs" / "metadata.json"
    formats = _at(_tree(metadata), "network_data_format") if metadata.is_file() else None
    channels, outputs = (_names(formats, part) for part in ("inputs", "outputs"))
    return MonaiNetwork(target.rpartition(".")[2], arguments, channels, outputs)


def _config_file(folder: Path) -> Path | None:
    return next((path for name in _CONFIGS if (path := folder / "configs" / name).is_file()), None)


def _weights_file(folder: Path) -> Path | None:
    return next((path for name in _WEIGHTS if (path := folder / "models" / name).is_file()), None)


def _tree(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".json":
            return read_json(path, _LARGEST_CONFIG)
        tree = plain_yaml(read_text(path, _LARGEST_CONFIG))
    except (ReadError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise BundleError(
            f"configs/{path.name} of the MONAI bundle cannot be read: it is damaged or too large"
        ) from error
    if not isinstance(tree, dict):
        raise BundleError(f"configs/{path.name} of the MONAI bundle holds no mapping")
    return tree


def _resolved(value: Any, tree: Mapping[str, Any]) -> Any:
    """The value, or what it refers to: ``@name``, or ``@name::part`` (before MONAI 1.4 ``@name#part``) below it."""
    for _ in range(_MOST_HOPS):
        if not isinstance(value, str) or not value.startswith("@"):
            return value
        value = _at(tree, *value[1:].replace("#", "::").split("::"))
    return None


def _at(tree: Any, *keys: str) -> Any:
    """What lies under these keys; None if nothing does."""
    for key in keys:
        if isinstance(tree, list) and key.isdecimal() and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _holds_expression(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith(("$", "@", "%"))
    if isinstance(value, dict):
        return any(map(_holds_expression, value.values()))
    return isinstance(value, list) and any(map(_holds_expression, value))


def _names(formats: Any, part: str) -> tuple[str, ...]:
    """Channel names of the first image that goes in or comes out, if they are numbered from 0 without a gap."""
    entries = _at(formats, part)
    first = next(iter(entries.values()), None) if isinstance(entries, dict) else None
    named = _at(first, "channel_def")
    if not isinstance(named, dict) or set(named) != {str(number) for number in range(len(named))}:
        return ()
    return tuple(str(named[str(number)]) for number in range(len(named)))
