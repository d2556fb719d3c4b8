"""A trained model as one folder that can be copied and used elsewhere.

::

    bundle/
      model.safetensors   weights
      config.yaml         the resolved run configuration
      facts.json          what the training images were like
      split.json          who trained, validated, was kept aside
      scores.json         Dice on the validation cases
      versions.json       medseg, torch and Python that made it
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

import medseg
from medseg.config.load import dump_config, load_config
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.errors import BundleError, ConfigError
from medseg.core.files import atomic_folder
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.networks.build import build_network

from .expected import StructureFacts

_LARGEST_JSON = 50_000_000
Range = tuple[float, float, float]


class TrainingFacts(BaseModel):
    """What the training images were like, to tell whether another image fits the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[str, ...]
    """Channel names, in order."""
    spacing_min: Range
    """Smallest voxel size along the right, anterior and superior axis, mm (pixels for 2D images)."""
    spacing_max: Range
    extent_min_mm: Range
    """Smallest image along the right, anterior and superior axis, mm."""
    extent_max_mm: Range
    structures: dict[str, StructureFacts] = {}
    """What each target was like, for those that occur; empty in bundles of older versions and for images in pixels."""

    @classmethod
    def from_grids(
        cls,
        modalities: tuple[str, ...],
        grids: Iterable[Geometry],
        structures: Mapping[str, StructureFacts] = MappingProxyType({}),
    ) -> Self:
        """The facts of images on these grids, at least one, and of the targets in them."""
        oriented = [grid.reoriented("RAS") for grid in grids]
        spacings = np.array([grid.spacing for grid in oriented])
        extents = spacings * np.array([grid.shape for grid in oriented])
        return cls(
            modalities=modalities,
            spacing_min=_range(spacings.min(axis=0)),
            spacing_max=_range(spacings.max(axis=0)),
            extent_min_mm=_range(extents.min(axis=0)),
            extent_max_mm=_range(extents.max(axis=0)),
            structures=dict(structures),
        )


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model, ready to predict.

    Attributes:
        config: The configuration that it was trained with.
        scheme: The structures that it knows.
        network: In evaluation mode, on the CPU.
        facts: What its training images were like.
    """

    config: RunConfig
    scheme: LabelScheme
    network: nn.Module
    facts: TrainingFacts


@dataclass(frozen=True, eq=False)
class BundleRecords:
    """What a bundle tells about its making besides the weights; JSON each."""

    split: Mapping[str, list[str]]
    scores: Mapping[str, object]


def output_channels(scheme: LabelScheme) -> int:
    """Logits a voxel: one a target, and one for the background where targets exclude each other."""
    return len(scheme.targets) + int(scheme.is_exclusive)


def write_bundle(folder: Path, bundle: Bundle, records: BundleRecords) -> None:
    """Write a bundle, atomically; a bundle that was there is replaced."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in bundle.network.state_dict().items()}
    with atomic_folder(folder) as partial:
        # Into a file, safetensors would hide the cause when the disk is full.
        (partial / "model.safetensors").write_bytes(safetensors.torch.save(weights))
        (partial / "config.yaml").write_text(dump_config(_portable(bundle.config)), encoding="utf-8")
        (partial / "facts.json").write_text(bundle.facts.model_dump_json(indent=1), encoding="utf-8")
        _write_json(partial / "split.json", records.split)
        _write_json(partial / "scores.json", records.scores)
        _write_json(partial / "versions.json", _versions())


def _portable(config: RunConfig) -> RunConfig:
    """The configuration without where its data lay, which is of no use elsewhere and may say whose it is."""
    split = config.data.split.model_copy(update={"file": None})
    return config.model_copy(update={"data": config.data.model_copy(update={"folder": Path(), "split": split})})


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle; nothing in it is ever run as code.

    Raises:
        BundleError: If the folder is no bundle, or its parts do not belong together.
    """
    if not (folder / "config.yaml").is_file() or not (folder / "model.safetensors").is_file():
        raise BundleError(
            f"{str(folder)!r} is no bundle: it needs config.yaml and model.safetensors (RUN/bundle has them)"
        )
    try:
        config = load_config(folder / "config.yaml")
        facts = TrainingFacts.model_validate_json(_bounded(folder / "facts.json"))
    except (ConfigError, ValidationError, OSError) as error:
        raise BundleError(f"bundle {str(folder)!r}: its configuration or facts cannot be read: {error}") from error
    scheme = label_scheme(config.labels)
    network = build_network(config.network, len(config.channels), output_channels(scheme))
    _load_weights(network, folder)
    return Bundle(config, scheme, network.eval(), facts)


def _load_weights(network: nn.Module, folder: Path) -> None:
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(folder / "model.safetensors")
    except (OSError, safetensors.SafetensorError) as error:
        raise BundleError(f"bundle {str(folder)!r}: model.safetensors is damaged") from error
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if {name: tensor.shape for name, tensor in weights.items()} != expected:
        raise BundleError(f"bundle {str(folder)!r}: the weights belong to another network than config.yaml describes")
    network.load_state_dict(weights)


def _range(numbers: NDArray[np.float64]) -> Range:
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def _bounded(path: Path) -> str:
    if path.stat().st_size > _LARGEST_JSON:
        raise BundleError(f"{path.name} is larger than {_LARGEST_JSON} bytes")
    return path.read_text(encoding="utf-8")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")


def _versions() -> dict[str, str]:
    return {
        "medseg": medseg.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
