"""From a trained model and a volume to labels on the volume's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medseg.config.sections import RunConfig
from medseg.core.errors import DataError
from medseg.core.geometry import Geometry, Shape
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, Volume
from medseg.postprocess.clean import clean
from medseg.transforms.preprocess import Restoration, prepare_image

from .bundle import Bundle, output_channels
from .devices import DeviceName, PrecisionName, autocast_dtype, resolve_device
from .restore import Prediction, SourceWriter
from .sliding import ForwardPass, stream_probabilities
from .windows import Window, WindowGrid

_SLICES = 16


@dataclass(frozen=True)
class PredictionSettings:
    """What varies between runs of one model; None takes what the bundle says.

    Attributes:
        device: Where the network computes.
        precision: What it computes in; ``auto`` takes 16 bits where the device is fast in them.
        overlap: Share that neighbouring windows overlap, in [0, 1).
        mirror: Whether to average over mirrored inputs, along the axes that training mirrored.
        batch: Windows (slices, for a 2D network) a forward pass; halved when memory runs out.
        probabilities: Whether to return probabilities.
        entropy: Whether to return an entropy map.
        postprocess: Whether to clean up as the bundle says.
    """

    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    overlap: float | None = None
    mirror: bool | None = None
    batch: int | None = None
    probabilities: bool = False
    entropy: bool = False
    postprocess: bool = True


class Predictor:
    """A model on a device, ready for one volume after the other.

    Beside the image and the results on the source grid, memory is bounded by a slab as deep as a window.

    Args:
        bundle: The model; its network is moved to the device.
        settings: How to predict.

    Raises:
        InputError: If the device is not there or cannot compute in that precision.
        ConfigError: If the overlap is not in [0, 1).
    """

    def __init__(self, bundle: Bundle, settings: PredictionSettings | None = None) -> None:
        self._bundle = bundle
        self._settings = settings or PredictionSettings()
        device = resolve_device(self._settings.device)
        amp_dtype = autocast_dtype(device, self._settings.precision)
        self._window, self._forward = _plan(bundle.config, bundle.scheme, self._settings, amp_dtype)
        self._network = bundle.network.to(device).eval()

    def predict(self, volume: Volume, progress: Progress = SILENT, label: str = "predict") -> Prediction:
        """Labels of a volume, on its own grid.

        Values that are not finite are replaced (see ``normalize``), and a note says so.

        Args:
            volume: The model's channels, on any grid.
            progress: Told of each batch of windows.
            label: Name of the stage.

        Raises:
            InputError: If the channels are not the model's, or memory does not suffice.
            DataError: If a channel holds no finite value.
            BundleError: If the network gives values that are not finite.
        """
        _check_finite(volume, progress)
        config, scheme, settings = self._bundle.config, self._bundle.scheme, self._settings
        prepared = prepare_image(volume, config.preprocessing, config.channels)
        grid = WindowGrid(prepared.restoration.network.shape, self._window)
        writer = SourceWriter(
            scheme,
            prepared.restoration,
            grid.stream_axis,
            probabilities=settings.probabilities,
            entropy=settings.entropy,
        )
        progress.start(label, len(grid.positions))
        stream_probabilities(self._network, prepared.image, grid, self._forward, writer, progress)
        prediction = writer.result()
        if not settings.postprocess or config.postprocessing is None:
            return prediction
        labels = clean(prediction.labels, config.postprocessing, scheme)
        return Prediction(labels, prediction.probabilities, prediction.entropy)


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
    window, forward = _plan(config, scheme, PredictionSettings(mirror=False), amp_dtype)
    grid = WindowGrid((i, j, k), window)
    writer = SourceWriter(scheme, _unchanged((i, j, k)), grid.stream_axis, probabilities=False, entropy=False)
    stream_probabilities(network, image, grid, forward, writer)
    labels = writer.result().labels
    return scheme.class_indices(labels) if isinstance(labels, LabelMap) else labels.array.view(np.uint8)


def _plan(
    config: RunConfig, scheme: LabelScheme, settings: PredictionSettings, amp_dtype: torch.dtype | None
) -> tuple[Window, ForwardPass]:
    """The settings, with the configuration's where they leave a choice open."""
    own, dims = config.inference, config.network.dims
    mirror = config.augmentation.enabled and (own.mirror if settings.mirror is None else settings.mirror)
    overlap = own.overlap if settings.overlap is None else settings.overlap
    forward = ForwardPass(
        dims,
        output_channels(scheme),
        scheme.is_exclusive,
        amp_dtype,
        tuple(axis for axis in config.augmentation.mirror_axes if mirror and axis < dims),
        settings.batch or max(own.batch, _SLICES if dims == 2 else 1),
    )
    return Window(config.sampling.patch, overlap), forward


def _unchanged(shape: Shape) -> Restoration:
    """The way back where there is none to go."""
    grid = Geometry.from_spacing(shape)
    return Restoration(grid, grid, (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])), grid, grid)


def _check_finite(volume: Volume, progress: Progress) -> None:
    for name, channel in zip(volume.channels, volume.array, strict=True):
        if not np.issubdtype(channel.dtype, np.floating):
            continue
        missing = int(channel.size - np.isfinite(channel).sum())
        if missing == channel.size:
            raise DataError(f"channel {name!r} holds no finite value")
        if missing:
            progress.note(f"channel {name!r}: {missing} values are not finite; taken for the nearest that is")
