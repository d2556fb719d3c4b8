"""From a trained model and a volume to labels on the volume's own grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medseg.config.sections import RunConfig
from medseg.core.errors import DataError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, Volume
from medseg.postprocess.clean import clean
from medseg.transforms.preprocess import Restoration, prepare_image

from .agreement import Agreement
from .bundle import Bundle
from .calibration import Calibration
from .decision import Decision
from .devices import autocast_dtype, resolve_device
from .passes import forward_plan, plan_passes
from .restore import Prediction, SourceWriter
from .runner import TorchRunner
from .scratch import Scratch
from .settings import PredictionSettings
from .sliding import Poll, stream_probabilities
from .windows import WindowGrid


class Predictor:
    """A model on a device, ready for one volume after the other.

    The probabilities of the model's members are averaged. Where all share a grid and a window, this is done window by
    window; else on the source grid, in a temporary file. Beside the image and the results on the source grid, memory is
    bounded by a slab as deep as a window, however many members there are.

    Args:
        bundle: The model; its networks are moved to the device.
        settings: How to predict.

    Raises:
        InputError: If the device is not there or cannot compute in that precision.
        ConfigError: If the overlap is not in [0, 1).
    """

    def __init__(self, bundle: Bundle, settings: PredictionSettings | None = None) -> None:
        self._bundle = bundle
        self._settings = settings or PredictionSettings()
        self._decision = Decision.of(bundle.scheme, bundle.calibration)
        device = resolve_device(self._settings.device)
        amp_dtype = autocast_dtype(device, self._settings.precision)
        self._passes = plan_passes(bundle, self._settings, device, amp_dtype)

    def predict(self, volume: Volume, progress: Progress = SILENT, label: str = "predict") -> Prediction:
        """Labels of a volume, on its own grid.

        Values that are not finite are replaced (see ``normalize``), and a note says so.

        Args:
            volume: The model's channels, on any grid.
            progress: Told of each batch of windows.
            label: Name of the stage; with more than one pass over the volume, each is a stage of its own.

        Raises:
            InputError: If the channels are not the model's, or memory does not suffice.
            DataError: If a channel holds no finite value.
            BundleError: If the network gives values that are not finite.
            OutputError: If there is no room for temporary files.
        """
        _check_finite(volume, progress)
        members, scheme = len(self._bundle.members), self._bundle.scheme
        agreement = Agreement(scheme.targets, members) if self._settings.agreement and members > 1 else None
        at_once = len(self._passes) == 1
        predicted = (self._at_once if at_once else self._one_after_other)(volume, agreement, _Stage(progress, label))
        if agreement is not None:
            predicted = replace(predicted, agreement=agreement.result())
        clean_up = self._bundle.config.postprocessing
        if not self._settings.postprocess or clean_up is None:
            return predicted
        return replace(predicted, labels=clean(predicted.labels, clean_up, scheme))

    def _at_once(self, volume: Volume, agreement: Agreement | None, stage: _Stage) -> Prediction:
        only, poll = self._passes[0], None if agreement is None else Poll(self._decision, agreement)
        prepared = prepare_image(volume, only.config.preprocessing, only.config.channels)
        grid = WindowGrid(prepared.restoration.network.shape, only.window)
        writer = self._writer(prepared.restoration, grid.stream_axis)
        stage.begin(grid)
        stream_probabilities(only.runners, prepared.image, grid, only.forward, writer, poll, stage.progress)
        return writer.result()

    def _one_after_other(self, volume: Volume, agreement: Agreement | None, stage: _Stage) -> Prediction:
        scratch = Scratch(self._decision, volume.geometry, votes=agreement is not None)
        for number, one in enumerate(self._passes, start=1):
            prepared = prepare_image(volume, one.config.preprocessing, one.config.channels)
            grid = WindowGrid(prepared.restoration.network.shape, one.window)
            share = len(one.runners) / len(self._bundle.members)
            sink = scratch.writer(prepared.restoration, grid.stream_axis, share)
            stage.begin(grid, f", pass {number} of {len(self._passes)}")
            stream_probabilities(one.runners, prepared.image, grid, one.forward, sink, None, stage.progress)
        writer = self._writer(_unchanged(volume.geometry), 0)
        for start, slab in scratch.slabs():
            writer(start, slab)
        if agreement is not None:
            scratch.count(agreement)
        return writer.result()

    def _writer(self, restoration: Restoration, axis: int) -> SourceWriter:
        settings = self._settings
        return SourceWriter(
            self._decision, restoration, axis, probabilities=settings.probabilities, entropy=settings.entropy
        )


@dataclass(frozen=True)
class _Stage:
    progress: Progress
    label: str

    def begin(self, grid: WindowGrid, which: str = "") -> None:
        self.progress.start(f"{self.label}{which}", len(grid.positions))


def segment_prepared(
    network: nn.Module,
    image: NDArray[np.float32],
    config: RunConfig,
    scheme: LabelScheme,
    amp_dtype: torch.dtype | None = None,
) -> NDArray[np.uint8]:
    """What a network says about a preprocessed image, on the network's own grid; for validation while training.

    Mirroring is left out, so that validations are short.

    Args:
        network: In evaluation mode, on its device.
        image: Shape ``(c, i, j, k)``.
        config: Gives the patch and how to predict.
        scheme: What the network's channels are.
        amp_dtype: What convolutions compute in; None for float32.

    Returns:
        Class indices, shape ``(i, j, k)``; masks of 0 and 1, shape ``(t, i, j, k)``, if the scheme is not exclusive.
    """
    _, i, j, k = image.shape
    grid_there, decision = Geometry.from_spacing((i, j, k)), Decision.of(scheme, Calibration())
    window, forward = forward_plan(config, config.inference, scheme, PredictionSettings(mirror=False))
    grid = WindowGrid((i, j, k), window)
    writer = SourceWriter(decision, _unchanged(grid_there), grid.stream_axis, probabilities=False, entropy=False)
    stream_probabilities((TorchRunner(network, amp_dtype),), image, grid, forward, writer)
    labels = writer.result().labels
    return scheme.class_indices(labels) if isinstance(labels, LabelMap) else labels.array.view(np.uint8)


def _unchanged(grid: Geometry) -> Restoration:
    """The way back where there is none to go."""
    i, j, k = grid.shape
    return Restoration(grid, grid, (slice(0, i), slice(0, j), slice(0, k)), grid, grid)


def _check_finite(volume: Volume, progress: Progress) -> None:
    for name, channel in zip(volume.channels, volume.array, strict=True):
        if not np.issubdtype(channel.dtype, np.floating):
            continue
        missing = int(channel.size - np.isfinite(channel).sum())
        if missing == channel.size:
            raise DataError(f"channel {name!r} holds no finite value")
        if missing:
            progress.note(f"channel {name!r}: {missing} values are not finite; taken for the nearest that is")
