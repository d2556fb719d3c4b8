"""MONAI bundles with random weights, laid out as MONAI's zoo lays them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

_BLOCKS = {"blocks_down": [1, 1], "blocks_up": [1]}


def segresnet(dims=3, channels=2, outputs=2) -> nn.Module:
    from monai.networks.nets import SegResNet

    torch.manual_seed(1)
    return SegResNet(spatial_dims=dims, init_filters=8, in_channels=channels, out_channels=outputs, **_BLOCKS)


def monai_bundle(
    folder: Path, network: nn.Module, channels: Sequence[str] = (), outputs: Sequence[str] = (), **changes: Any
) -> Path:
    """A bundle of a network; ``changes`` replace arguments of its description."""
    described = {"_target_": type(network).__name__, "spatial_dims": 3, "init_filters": 8, "out_channels": "@classes"}
    write_configs(folder, {"classes": 2, "network_def": described | {"in_channels": 2} | _BLOCKS | changes})
    if channels:
        parts = {"inputs": {"image": channels}, "outputs": {"pred": outputs}}
        formats = {
            part: {key: {"channel_def": {str(n): name for n, name in enumerate(names)}} for key, names in entry.items()}
            for part, entry in parts.items()
        }
        (folder / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": formats}))
    (folder / "models").mkdir()
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def write_configs(folder: Path, tree: dict[str, Any]) -> None:
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(tree | {"device": "$torch.device('cuda:0')"}))
