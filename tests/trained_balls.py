"""A tiny network that outlines the two balls of ``ball_cases`` well, trained in seconds."""

from __future__ import annotations

import numpy as np
import torch
from ball_cases import SHAPE
from factories import ball, configured_bundle, run_config
from torch.nn import functional as F

from medseg.inference.bundle import Bundle

STEPS = 120


def trained_balls(**changes) -> Bundle:
    """A bundle whose network has seen a few hundred balls; its window is 12³ voxels."""
    torch.manual_seed(0)
    sampling = {"patch": (12, 12, 12), "batch": 2}
    network = run_config().network.model_dump() | {"features": (8, 16)}
    made = configured_bundle(run_config(**{"network": network, "sampling": sampling} | changes))
    module = made.members[0].network.train()
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        images, labels = zip(*(_case(rng) for _ in range(4)), strict=True)
        logits = module(torch.from_numpy(np.stack(images)))
        loss = F.cross_entropy(logits[0] if isinstance(logits, list) else logits, torch.from_numpy(np.stack(labels)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()
    return made


def _case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros(SHAPE, np.int64)
    labels[ball(SHAPE, rng.uniform(3, 7, 3), 3.5)] = 1
    labels[ball(SHAPE, rng.uniform(9, 13, 3), 3.5)] = 2
    image = 100.0 * labels + rng.normal(0, 15, SHAPE)
    start = rng.integers(0, 5, 3)
    inside = tuple(slice(first, first + 12) for first in start)
    return ((image - image.mean()) / image.std())[inside][None].astype(np.float32), labels[inside]
