"""Coarse to fine: a small network at low resolution finds the region in which the others need to look."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from medseg.config.localiser import LocaliserSection
from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.geometry import Box, Geometry, LengthUnit, Shape, Spacing
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import Volume
from medseg.postprocess.extent import extent
from medseg.transforms.preprocess import Prepared, Restoration, prepare_image

from .bundle import Bundle
from .calibration import Calibration
from .decision import Decision
from .passes import plan_passes
from .restore import SourceWriter
from .settings import PredictionSettings
from .sliding import stream_probabilities
from .timings import UNOBSERVED, Observer
from .windows import WindowGrid

NOTHING_FOUND = "the localiser found no region, so the whole image was looked at"
NO_MILLIMETRES = "the image has no millimetres, which the localiser needs, so the whole image was looked at"
_ROUNDING = 1e-6
_ML = 1000.0


class Localiser:
    """The localiser of a model, on a device.

    Args:
        bundle: A model that has one.
        settings: Device, precision and runtime count; the localiser does not mirror, and slides as its own
            configuration says.
        device: Where it computes; its network is moved there.
        amp_dtype: What convolutions compute in; None for float32.
    """

    def __init__(
        self, bundle: Bundle, settings: PredictionSettings, device: torch.device, amp_dtype: torch.dtype | None
    ) -> None:
        own = localiser_bundle(bundle)
        precision = "auto" if settings.precision == "int8" else settings.precision  # no int8 is made of it
        plain = replace(settings, precision=precision, overlap=None, mirror=False, batch=None)
        self._pass = plan_passes(own, plain, device, amp_dtype)[0]
        self._decision = Decision.of(own.scheme, Calibration())
        self._section = section_of(bundle)
        self._fine = bundle.config

    @classmethod
    def of(
        cls, bundle: Bundle, settings: PredictionSettings, device: torch.device, amp_dtype: torch.dtype | None
    ) -> Self | None:
        """The localiser of a model; None if it has none."""
        return None if bundle.localiser is None else cls(bundle, settings, device, amp_dtype)

    def region(self, volume: Volume, progress: Progress = SILENT, observer: Observer = UNOBSERVED) -> Box | None:
        """Where the structures are, with the margin that training found to be needed.

        Args:
            volume: The model's channels, on any grid.
            progress: Told of each batch of windows.
            observer: Told in which stage it is.

        Returns:
            A box of the volume's own grid; None if nothing plausible was found, or the image has no millimetres.
        """
        if volume.geometry.unit is LengthUnit.PIXEL:
            return None
        config = self._pass.config
        with observer.stage("preprocessing"):
            prepared = prepare_image(volume, config.preprocessing, config.channels)
        with observer.stage("assembling"):
            marked = self._marked(prepared, progress, observer)
        with observer.stage("decision"):
            box = plausible_box(marked, prepared.restoration.network, self._section.least_ml or 0.0)
        return None if box is None else region_of(box, prepared.restoration, self._section, self._fine)

    def why_not(self, grid: Geometry) -> str:
        """Why there is no region, for the user."""
        return NO_MILLIMETRES if grid.unit is LengthUnit.PIXEL else NOTHING_FOUND

    def _marked(self, prepared: Prepared, progress: Progress, observer: Observer) -> NDArray[np.bool_]:
        """Where the localiser sees any of its targets, shape ``(i, j, k)``."""
        one, grid = self._pass, prepared.restoration.network
        windows = WindowGrid(grid.shape, one.window)
        axis = windows.stream_axis
        logits = one.forward.average_logits
        here = Restoration.unchanged(grid)
        writer = SourceWriter(self._decision, here, axis, probabilities=False, entropy=False, logits=logits)
        runners, sink = observer.runners(one.runners), observer.sink(writer)
        progress.start("finding the region", len(windows.positions))
        stream_probabilities(runners, prepared.image, windows, one.forward, sink, None, progress)
        labels = writer.result().labels
        return union_of(labels.array)


def union_of(marked: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where there is anything but background in class indices or values ``(i, j, k)``, or masks ``(t, i, j, k)``."""
    union: NDArray[np.bool_] = np.any(marked, axis=0) if marked.ndim == 4 else marked != 0
    return union


def localiser_bundle(bundle: Bundle) -> Bundle:
    """The localiser of a model as a model of its own."""
    assert bundle.localiser is not None  # noqa: S101 - asked for only where there is one
    config = bundle.localiser.config
    return Bundle.single(config, label_scheme(config.labels), bundle.localiser.network, bundle.facts)


def section_of(bundle: Bundle) -> LocaliserSection:
    """What a model says about its localiser."""
    assert bundle.config.localiser is not None  # noqa: S101 - asked for only where there is one
    return bundle.config.localiser


def plausible_box(marked: NDArray[np.bool_], grid: Geometry, least_ml: float) -> Box | None:
    """Smallest box around the parts that are large enough.

    Args:
        marked: Mask, shape ``(i, j, k)``; voxels that share a face, an edge or a corner are one part.
        grid: Its grid.
        least_ml: Smaller parts do not count.

    Returns:
        Plain start and stop values; None if no part is that large.
    """
    parts, _ = ndimage.label(marked, np.ones((3, 3, 3)))
    large = np.bincount(parts.reshape(-1)) * (grid.voxel_volume / _ML) >= least_ml
    large[0] = False
    box = extent(large[parts])
    return None if box is None else (box[0], box[1], box[2])


def region_of(box: Box, restoration: Restoration, section: LocaliserSection, fine: RunConfig) -> Box:
    """What the localiser found, as the region of the source grid that is to be predicted.

    Args:
        box: Of the localiser's grid.
        restoration: The way from there to the source.
        section: Gives the margin.
        fine: The main network's configuration; see ``fine_region``.
    """
    here = fine_region(box, restoration.network.shape, restoration.cropped, section, fine)
    moved = [slice(a.start + b.start, a.stop + b.start) for a, b in zip(here, restoration.box, strict=True)]
    i, j, k = moved
    return restoration.axes.inverse.box((i, j, k), restoration.oriented.shape)


def fine_region(box: Box, coarse: Shape, grid: Geometry, section: LocaliserSection, fine: RunConfig) -> Box:
    """A box of a coarse grid, with the margin, on a finer grid over the same extent.

    It is as large as the main network's window at least, where the image is: the window would be computed anyway, and
    sees more this way.

    Args:
        box: What was found.
        coarse: Voxels of the coarse grid.
        grid: The finer one, its axes along those of the coarse one.
        section: Gives the margin.
        fine: Gives the main network's window and voxels.
    """
    spacing = fine.preprocessing.spacing or grid.spacing
    window = _product(fine.sampling.patch, spacing)
    return widened(box, coarse, grid, section.margin_mm or 0.0, window)


def widened(box: Box, coarse: Shape, grid: Geometry, margin_mm: float, least_mm: Spacing) -> Box:
    """A box of a coarse grid on a finer grid over the same extent, rounded outwards.

    Args:
        box: Of the coarse grid.
        coarse: Voxels of the coarse grid.
        grid: The finer one.
        margin_mm: Added on both sides of each axis, as far as the image reaches.
        least_mm: How long the result is along each axis at least, as far as the image reaches.
    """
    i, j, k = (
        _part((part.start * n / m, part.stop * n / m), margin_mm / size, least / size, n)
        for part, m, n, size, least in zip(box, coarse, grid.shape, grid.spacing, least_mm, strict=True)
    )
    return i, j, k


def _part(found: tuple[float, float], margin: float, least: float, length: int) -> slice:
    """All in voxels of an axis of ``length`` voxels."""
    low, high = max(0.0, found[0] - margin), min(float(length), found[1] + margin)
    size = max(high - low, min(least, float(length)))
    low = min(max(0.0, (low + high - size) / 2), length - size)
    return slice(math.floor(low + _ROUNDING), min(length, math.ceil(low + size - _ROUNDING)))


def _product(voxels: Shape, spacing: Spacing) -> Spacing:
    i, j, k = (n * size for n, size in zip(voxels, spacing, strict=True))
    return i, j, k
