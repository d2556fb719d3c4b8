"""Small data with known answers, made in memory."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch import nn

from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.geometry import Geometry, Spacing
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Volume
from medseg.data.cache import PreparedArrays, foreground_voxels
from medseg.inference.bundle import Bundle, TrainingFacts, output_channels
from medseg.inference.network import network_of

ALL_ORIENTATIONS = tuple(
    "".join(letters) for order in itertools.permutations(("RL", "AP", "SI")) for letters in itertools.product(*order)
)
"""The 48 axis codes."""


def geometry(shape=(7, 8, 9), spacing: Spacing = (1.0, 1.5, 2.5), codes="RAS", oblique_degrees=0.0) -> Geometry:
    """Grid with an origin that is not zero, optionally rotated about two world axes."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-31.0, 12.5, 40.0)
    angle = np.deg2rad(oblique_degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = about_z @ about_x @ affine[:3, :3]
    return Geometry(shape, affine).reoriented(codes)


def volume(grid: Geometry | None = None, channels=("image",), dtype=np.int16, seed=0) -> Volume:
    """Random volume."""
    grid = grid or geometry()
    rng = np.random.default_rng(seed)
    return Volume(rng.integers(-1000, 1000, (len(channels), *grid.shape)).astype(dtype), grid, channels)


def label_map(grid: Geometry | None = None, values=(0, 1, 2), seed=0) -> LabelMap:
    """Random label map that holds each of the values."""
    grid = grid or geometry()
    rng = np.random.default_rng(seed)
    return LabelMap(rng.choice(np.array(values, dtype=np.uint8), grid.shape), grid)


def ball(shape=(32, 32, 32), centre=(15.5, 15.5, 15.5), radius=8.0) -> np.ndarray:
    """Mask of a ball, in voxels."""
    grid = np.indices(shape)
    offset = grid - np.reshape(centre, (3, 1, 1, 1))
    return (offset**2).sum(0) <= radius**2


def scheme(*names: str) -> LabelScheme:
    """Structures with the values 1, 2, …"""
    return LabelScheme.from_names({name: value for value, name in enumerate(names or ("one", "two"), start=1)})


def run_config(dims=3, structures=("one", "two"), **changes) -> RunConfig:
    """Tiny complete configuration; ``changes`` replace top-level sections."""
    steps = ((1,) * dims, (2,) * dims)
    tree = {
        "name": "tiny",
        "data": {"folder": "cases"},
        "channels": [{"name": "image"}],
        "labels": {"structures": [{"name": name, "value": value} for value, name in enumerate(structures, start=1)]},
        "preprocessing": {},
        "network": {"name": "unet", "dims": dims, "features": (4, 8), "strides": steps, "kernels": ((3,) * dims,) * 2},
        "sampling": {"patch": (16, 16, 16 if dims == 3 else 1), "batch": 2},
        "training": {"budget": {"epochs": 2, "steps": 3}},
        "device": "cpu",
    }
    return RunConfig.model_validate(tree | changes)


def bundle(network: nn.Module | None = None, **changes) -> Bundle:
    """Model with random weights, or with a network of one's own, for images of about 16³ voxels of 1 mm."""
    return configured_bundle(run_config(**changes), network)


def configured_bundle(config: RunConfig, network: nn.Module | None = None) -> Bundle:
    """The same from a configuration."""
    labels = label_scheme(config.labels)
    network = network or network_of(config, output_channels(labels))
    facts = TrainingFacts.from_grids(
        tuple(channel.name for channel in config.channels), [Geometry.from_spacing((16, 16, 16))]
    )
    return Bundle.single(config, labels, network.eval(), facts)


def prepared_arrays(target: np.ndarray, targets=2, image: np.ndarray | None = None) -> PreparedArrays:
    """Preprocessed case in memory; the image is zero, or one's own."""
    image = np.zeros(target.shape[-3:], np.float32) if image is None else image.astype(np.float32)
    grid = Geometry.from_spacing(target.shape[-3:])
    return PreparedArrays(CaseId("case"), image[None], target, foreground_voxels(target, targets), grid, grid)


@contextmanager
def full_disk(allowed_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond that; libraries see the error as they would on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowed_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
