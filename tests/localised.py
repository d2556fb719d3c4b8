"""Models that first look for the region, with networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from factories import ball, bundle, run_config
from torch import nn

from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.inference.bundle import Bundle, Member, output_channels
from medseg.inference.network import network_of
from medseg.training.localiser import localiser_config

AS_IT_IS = [{"name": "image", "intensity": "ct", "clip": (0, 1), "mean": 0, "std": 1}]
COARSE_MM = 4.0


class Bright(nn.Module):
    """Sure of the only target where the image is above a half; remembers the shapes that it was given."""

    def __init__(self, *, exclusive=False):
        super().__init__()
        self.exclusive, self.shapes = exclusive, []

    def forward(self, image):
        self.shapes.append(tuple(image.shape))
        logits = torch.where(image[:, :1] > 0.5, 10.0, -10.0)
        return torch.cat((-logits, logits), dim=1) if self.exclusive else logits


def section(**changes) -> dict[str, object]:
    """A section ``localiser`` as a bundle has it."""
    network = run_config().network.model_dump()
    fixed = {"spacing": (COARSE_MM,) * 3, "network": network, "patch": (8, 8, 8), "margin_mm": 6.0, "least_ml": 0.0}
    return fixed | changes


def localised_config(**changes) -> RunConfig:
    """A run of one structure, with a localiser; ``changes`` replace sections."""
    return run_config(**{"structures": ("one",), "channels": AS_IT_IS, "localiser": section()} | changes)


def localised(network: nn.Module | None = None, **changes) -> Bundle:
    """A model whose localiser is ``Bright``, and whose main network has random weights, or is one's own."""
    config = localised_config(**changes)
    coarse, scheme = localiser_config(config), label_scheme(config.labels)
    main = (network or network_of(config, output_channels(scheme))).eval()
    facts = bundle(structures=("one",)).facts
    return Bundle((Member(config, main),), scheme, facts, localiser=Member(coarse, Bright().eval()))


def two_networks(**changes) -> Bundle:
    """A model whose localiser has random weights too, so that it can be written."""
    made = localised(**changes)
    config = localiser_config(made.config)
    network = network_of(config, output_channels(label_scheme(config.labels)))
    return replace(made, localiser=Member(config, network.eval()))


def single_stage(model: Bundle) -> Bundle:
    """The same main networks, without the localiser."""
    first, *others = model.members
    config = first.config.model_copy(update={"localiser": None})
    return replace(model, members=(replace(first, config=config), *others), localiser=None)


def ball_in(grid: Geometry, centre, radius=6.0) -> Volume:
    """An image of zeros with a ball of ones."""
    return Volume(ball(grid.shape, centre, radius)[None].astype(np.float32), grid)
