"""A plan's localiser: how coarse its voxels, how large its patch and its network."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.config.localiser import LocaliserSection
from medseg.config.networks import NetworkSection
from medseg.core.errors import ConfigError
from medseg.core.geometry import LengthUnit, Shape, Spacing

from .cost import step_seconds, training_bytes
from .fingerprint import Fingerprint
from .plan import Plan, Request
from .rounding import rounded_mm
from .topology import fitted, unet_for

_VOXELS = {"cpu": 64, "cuda": 128, "mps": 96}
"""Along the longest axis of the median image, that the localiser sees, where structures are large enough."""
_MOST_VOXELS = 160
_BASE = {"cpu": 8, "cuda": 16, "mps": 16}
_MOST_FEATURES = 128
_ACROSS_A_STRUCTURE = 3
_COARSER = 2.0
_FEWEST_STEPS = 400
_BATCH = 2
_SMALLEST_EDGE = 16
_SHARE_OF_MEMORY = 0.7
_WORLD = dict(zip("RLAPSIijk", (0, 0, 1, 1, 2, 2, 0, 1, 2), strict=True))


def with_localiser(plan: Plan, measured: Fingerprint, request: Request) -> Plan:
    """The plan with a localiser, and a line about it.

    Its voxels are as coarse as they may be for the smallest structure to be three voxels across, if that makes the
    median image no longer than 160 voxels; at least twice as coarse as the main network's. Its patch is as much of the
    median image as can be trained on for 400 steps in its share of the budget.

    Args:
        plan: For the data set, with nothing to find the region.
        measured: The data set.
        request: Device and budget.

    Raises:
        ConfigError: If the images have no millimetres.
    """
    config = plan.config
    if measured.unit is LengthUnit.PIXEL or config.preprocessing.spacing is None:
        raise ConfigError("a localiser needs images in millimetres; plan without --localiser")
    extent = _median_extent(measured, config.preprocessing.orientation)
    spacing = _spacing(extent, measured, config.preprocessing.spacing, request.device.kind)
    whole = np.maximum(1, np.round(extent / spacing)).astype(int)
    section = _sized(whole, spacing, len(measured.channels), request)
    voxels, share = " x ".join(f"{size:g}" for size in section.spacing), 100 * section.budget_share
    patch, image = ("x".join(map(str, edges)) for edges in (section.patch, whole))
    notes = [
        f"localiser: voxels of {voxels} mm, patch {patch} of a median image of {image}, {share:.0f} % of the budget"
    ]
    if (np.multiply(config.sampling.patch, config.preprocessing.spacing) >= extent).all():
        notes.append("the main network's patch holds the median image, so that a localiser saves nothing")
    return replace(plan, config=config.model_copy(update={"localiser": section}), notes=(*plan.notes, *notes))


def _median_extent(measured: Fingerprint, orientation: str) -> NDArray[np.float64]:
    """Median length of the images along the axes of an orientation, mm."""
    extent: NDArray[np.float64] = np.median(measured.shapes * measured.spacings, axis=0)
    return extent[[_WORLD[letter] for letter in orientation]]


def _spacing(extent: NDArray[np.float64], measured: Fingerprint, fine: Spacing, kind: str) -> Spacing:
    """Voxel size, alike along all axes but those along which the main network's is larger already."""
    longest = float(extent.max())
    wanted = min(longest / _VOXELS[kind], _smallest_edge_mm(measured) / _ACROSS_A_STRUCTURE)
    size = max(wanted, longest / _MOST_VOXELS, _COARSER * min(fine))
    first, second, third = (rounded_mm(max(size, voxel), 2) for voxel in fine)
    return first, second, third


def _smallest_edge_mm(measured: Fingerprint) -> float:
    """Edge of a cube as large as the smallest target is on average, over the cases; a case may lack it."""
    voxel = float(np.median(np.prod(measured.spacings, axis=1)))
    voxels = min(count for count in measured.voxels.values() if count)
    return float((voxels / len(measured.shapes) * voxel) ** (1 / 3))


def _sized(whole: NDArray[np.int64], spacing: Spacing, channels: int, request: Request) -> LocaliserSection:
    """The section with the largest patch, up to the median image, that its share of the budget allows."""
    base, scale = _BASE[request.device.kind], 1.0
    while True:
        wanted = [max(min(_SMALLEST_EDGE, n), round(n * scale)) for n in whole.tolist()]
        network = unet_for(wanted, spacing, base, _MOST_FEATURES)
        i, j, k = fitted(wanted, network)
        section = LocaliserSection(spacing=spacing, network=network, patch=(i, j, k), batch=_BATCH)
        if _affordable(network, (i, j, k), channels, request, section.budget_share) or max(wanted) <= _SMALLEST_EDGE:
            return section
        scale *= 0.85


def _affordable(network: NetworkSection, patch: Shape, channels: int, request: Request, share: float) -> bool:
    seconds = step_seconds(network, patch, channels, _BATCH, request.device)
    minutes = math.inf if request.budget.minutes is None else request.budget.minutes * share
    fits = training_bytes(network, patch, _BATCH, request.device) < _SHARE_OF_MEMORY * request.device.memory_bytes
    return fits and seconds * _FEWEST_STEPS <= 60 * minutes
