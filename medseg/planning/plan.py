"""From a fingerprint, a device and a budget to a run configuration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medseg.config.networks import NetworkChoice, NetworkSection
from medseg.config.schemes import labels_section
from medseg.config.sections import (
    ChannelSection,
    DataSection,
    InferenceSection,
    Intensity,
    PreprocessingSection,
    RunConfig,
)
from medseg.config.training import AugmentationSection, BudgetSection, SamplingSection, TrainingSection
from medseg.core.errors import DataError
from medseg.core.geometry import LengthUnit, Spacing
from medseg.core.labels import LabelScheme
from medseg.inference.bundle import output_channels
from medseg.inference.devices import DeviceFacts

from .cost import planned_size, step_seconds, training_bytes
from .fingerprint import Fingerprint
from .rounding import rounded_mm
from .topology import fitted, network_for, widths

_ANISOTROPY = 3.0
_FEWEST_STEPS = 1500
_AIR_HU = -900
_CPU_BATCH = {2: 12, 3: 2}
_LARGEST_EDGE = {2: 512, 3: 192}
_SMALLEST_EDGE = 32
_SHARE_OF_MEMORY = 0.7
_SHARE_OF_VOXELS = 0.05
# nnU-Net sizes its presets for GPUs of 8 and 24 GB: convolutions that give 680 and 2100 million numbers an image. That
# is this by our estimate, which is a careful one.
_PRESET_BYTES = {NetworkChoice.RESENC_M: 20e9, NetworkChoice.RESENC_L: 60e9}


@dataclass(frozen=True)
class Request:
    """What a plan is for.

    Attributes:
        name: Name of the run.
        data: Where the cases are.
        dims: 2 or 3.
        device: What the plan is sized for.
        budget: How long training may take.
        network: Which kind of network.
    """

    name: str
    data: DataSection
    dims: int
    device: DeviceFacts
    budget: BudgetSection
    network: NetworkChoice = NetworkChoice.UNET


@dataclass(frozen=True)
class Plan:
    """A run configuration, and what the user should know about it."""

    config: RunConfig
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Size:
    network: NetworkSection
    patch: tuple[int, int, int]
    batch: int


def default_budget(device: DeviceFacts) -> BudgetSection:
    """An hour on a CPU, 200 epochs of 250 steps on a GPU."""
    return BudgetSection(minutes=60) if device.kind == "cpu" else BudgetSection(epochs=200, steps=250)


def make_plan(measured: Fingerprint, scheme: LabelScheme, request: Request) -> Plan:
    """The configuration for a data set, sized for a device and a budget.

    Args:
        measured: Fingerprint of the training cases.
        scheme: Their structures.
        request: Device, budget, dimensions and names.

    Raises:
        DataError: If a CT channel holds no finite value inside the structures.
    """
    orientation = _orientation(measured, request.dims)
    spacing = _target_spacing(measured, request.dims, orientation)
    size = _size(measured, spacing, orientation, request)
    allowed, notes = mirror_axes(scheme, orientation, request.dims)
    is_body = measured.unit is LengthUnit.MM
    # Bodies are nearly symmetric from left to right only; what a CPU trains is too little to learn the other mirror
    # images too (hippocampus 3D, 300 steps, one seed: validation Dice 0.83 with left-right mirroring, 0.80 with all).
    mirror = tuple(a for a in allowed if request.device.kind != "cpu" or not is_body or orientation[a] in "RL")
    config = RunConfig(
        name=request.name,
        data=request.data,
        channels=tuple(_channel(name, measured) for name in measured.channels),
        labels=labels_section(scheme),
        preprocessing=PreprocessingSection(
            orientation=orientation,
            spacing=None if measured.unit is LengthUnit.PIXEL else spacing,
            resample_slices=request.dims == 3,
            crop="nonzero" if measured.nonzero_share < 0.75 else "none",
        ),
        network=size.network,
        sampling=SamplingSection(patch=size.patch, batch=size.batch),
        augmentation=AugmentationSection(mirror_axes=mirror),
        training=TrainingSection(budget=request.budget),
        inference=InferenceSection(skip_air=is_body and measured.air_is_background),
        device="auto",
    )
    return Plan(config, (*_facts(size, measured, scheme, request), *notes, *_unnamed_ct(measured)))


def mirror_axes(scheme: LabelScheme, orientation: str, dims: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The axes that may be mirrored, and a note if left-right mirroring had to be left out.

    Mirroring left and right would turn a left kidney into a right one without telling the label, so a structure of one
    side switches it off, whether the other one is labelled or not.
    """
    sided = scheme.one_sided()
    # Of the file's own axes (i, j, k) nobody knows which leads from side to side.
    axes = tuple(axis for axis in range(dims) if not (sided and orientation[axis] in "RLijk"))
    if len(axes) == dims:
        return axes, ()
    return axes, (f"left-right mirroring is off, because {sided[0]!r} is of one side",)


def _orientation(measured: Fingerprint, dims: int) -> str:
    """RAS; for slices, the axis with the coarsest voxels comes last, or the one along which images are flat."""
    if dims == 3 or measured.unit is LengthUnit.PIXEL:
        return "RAS" if measured.unit is LengthUnit.MM else "LPS"
    across = _across(measured)
    return "".join(letter for axis, letter in enumerate("RAS") if axis != across) + "RAS"[across]


def _across(measured: Fingerprint) -> int:
    """The axis that slices lie across."""
    flat = np.flatnonzero(np.median(measured.shapes, axis=0) == 1)
    if flat.size:
        return int(flat[-1])
    median = np.median(measured.spacings, axis=0)
    return int(np.argmax(median)) if median.max() > 1.2 * median.min() else 2


def _in_order(rows: np.ndarray, orientation: str) -> np.ndarray:
    world = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    return rows[:, [world[letter] for letter in orientation]]


def _target_spacing(measured: Fingerprint, dims: int, orientation: str) -> Spacing:
    """Median per axis; for a 3D plan a far coarser axis takes its 10th percentile (nnU-Net's rule)."""
    spacings, shapes = _in_order(measured.spacings, orientation), _in_order(measured.shapes, orientation)
    target = np.median(spacings, axis=0)
    coarse = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarse]
    median_shape = np.median(shapes, axis=0)
    is_coarse = target[coarse] > _ANISOTROPY * target[others].max()
    if dims == 3 and is_coarse and median_shape[coarse] * _ANISOTROPY < median_shape[others].min():
        target[coarse] = max(np.percentile(spacings[:, coarse], 10), target[others].max())
    first, second, third = (rounded_mm(float(value), 4) for value in target)
    return first, second, third


def _size(measured: Fingerprint, spacing: Spacing, orientation: str, request: Request) -> _Size:
    """The largest patch and network that the device can train on within the budget."""
    shapes, spacings = _in_order(measured.shapes, orientation), _in_order(measured.spacings, orientation)
    resampled = np.array(spacing) if measured.unit is LengthUnit.MM else spacings
    median = np.median(shapes * spacings / resampled, axis=0)[: request.dims]
    cases_voxels = float(np.prod(median)) * len(shapes)
    sizes = sorted(_candidates(median, spacing[: request.dims], request), key=_merit, reverse=True)
    best = next((size for size in sizes if _affordable(size, len(measured.channels), request)), sizes[-1])
    return best if request.device.kind == "cpu" else _filled(best, cases_voxels, len(measured.channels), request)


def _candidates(median: np.ndarray, spacing: tuple[float, ...], request: Request) -> Iterator[_Size]:
    """Networks of several widths for cubes (in mm) of several sizes, cut to the median image."""
    wanted = np.minimum(median, _LARGEST_EDGE[request.dims])
    edge, smallest = float((wanted * spacing).max()), _SMALLEST_EDGE * min(spacing)
    bases = widths(request.network, is_cpu=request.device.kind == "cpu")
    edges = [edge]
    while edges[-1] * 0.85 > smallest:
        edges.append(edges[-1] * 0.85)
    for length, base in itertools.product(edges, bases):
        cut = [int(max(4, min(n, round(length / s)))) for n, s in zip(wanted, spacing, strict=True)]
        network = network_for(request.network, cut, spacing, base)
        patch = (*fitted(cut, network), 1)[:3]
        yield _Size(network, (patch[0], patch[1], patch[2]), _CPU_BATCH[request.dims])


def _affordable(size: _Size, channels: int, request: Request) -> bool:
    seconds = step_seconds(size.network, size.patch, channels, size.batch, request.device)
    fits = training_bytes(size.network, size.patch, size.batch, request.device) < _memory(request)
    minutes = request.budget.minutes
    return fits and (minutes is None or seconds * _FEWEST_STEPS <= 60 * minutes)


def _merit(size: _Size) -> float:
    """Width counts as much as the edge of the patch."""
    edge = float(np.prod(size.patch) ** (1 / size.network.dims))
    return size.network.width * edge


def _filled(size: _Size, cases_voxels: float, channels: int, request: Request) -> _Size:
    """The same with the batch that fills a GPU, at most a twentieth of all voxels, and with time for the steps."""
    one = training_bytes(size.network, size.patch, 1, request.device)
    by_memory = int(_memory(request) / one)
    by_data = int(_SHARE_OF_VOXELS * cases_voxels / np.prod(size.patch))
    most = 64 if request.dims == 2 else 16
    minutes = request.budget.minutes
    if minutes is not None:
        seconds = step_seconds(size.network, size.patch, channels, 1, request.device)
        most = min(most, int(60 * minutes / (_FEWEST_STEPS * seconds)))
    return _Size(size.network, size.patch, max(2, min(by_memory, by_data, most)))


def _memory(request: Request) -> float:
    """What may be used: a share of the device's, and not more than a preset is for."""
    return min(_SHARE_OF_MEMORY * request.device.memory_bytes, _PRESET_BYTES.get(request.network, math.inf))


def _channel(name: str, measured: Fingerprint) -> ChannelSection:
    if name.upper() == "CT":
        samples = measured.foreground[name]
        if not samples.size:
            raise DataError(f"channel {name!r} holds no finite value inside the structures")
        low, high = np.percentile(samples, [0.5, 99.5])
        inside = np.clip(samples, low, high)
        return ChannelSection(
            name=name,
            intensity=Intensity.CT,
            clip=(round(float(low), 1), round(float(high), 1)),
            mean=round(float(inside.mean()), 2),
            std=round(max(float(inside.std()), 1e-3), 2),
        )
    is_photograph = measured.is_byte and measured.unit is LengthUnit.PIXEL
    return ChannelSection(name=name, intensity=Intensity.UNIT if is_photograph else Intensity.ZSCORE)


def _unnamed_ct(measured: Fingerprint) -> tuple[str, ...]:
    """A note for each channel that holds air in HU, but is not called CT and so not normalised as one."""
    channels = [name for name in measured.channels if name.upper() != "CT" and measured.lowest[name] <= _AIR_HU]
    return tuple(
        f"channel {name!r} reaches down to {measured.lowest[name]:.0f}, as CT does; if it is CT, name it so (a column "
        "image.CT in a manifest), and it is normalised by HU"
        for name in channels
    )


def _facts(size: _Size, measured: Fingerprint, scheme: LabelScheme, request: Request) -> tuple[str, ...]:
    costs = planned_size(size.network, size.patch, len(measured.channels), output_channels(scheme))
    seconds = step_seconds(size.network, size.patch, len(measured.channels), size.batch, request.device)
    rare = min(measured.voxels, key=lambda name: measured.voxels[name])
    patch = "x".join(map(str, size.patch))
    flat = ("the images are single slices; --dims 2 plans a network for them",)
    return (
        f"sized for {request.device}: patch {patch}, batch {size.batch}, about {seconds:.2g} s a step",
        f"network {size.network.name}, {size.network.width} features at full resolution: {costs}",
        f"rarest structure: {rare!r} with {measured.voxels[rare]} voxels over {len(measured.shapes)} cases",
        *(flat if request.dims == 3 and measured.is_flat else ()),
    )
