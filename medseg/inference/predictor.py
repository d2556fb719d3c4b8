"""From a trained model and a volume to labels on the volume's own grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medseg.config.sections import RunConfig
from medseg.core.errors import DataError
from medseg.core.geometry import Box, Geometry
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, Volume
from medseg.postprocess.clean import clean
from medseg.transforms.body import body_of
from medseg.transforms.preprocess import Prepared, Restoration, prepare_image

from .agreement import Agreement
from .air import left_out, windows_around
from .bundle import Bundle
from .calibration import Calibration
from .decision import Decision
from .devices import autocast_dtype, resolve_devices
from .localiser import Localiser
from .passes import Pass, forward_plan, plan_passes
from .restore import Prediction, SourceWriter
from .runner import TorchRunner
from .runtime import device_for
from .scratch import Scratch
from .settings import PredictionSettings
from .sliding import Poll, finds_something, stream_probabilities
from .timings import UNOBSERVED, Observer
from .wanted import clean_up_of, decided_targets, limited, named_targets
from .windows import WindowGrid


class Predictor:
    """A model on a device, ready for one volume after the other.

    The probabilities of the model's members are averaged. Where all share a grid and a window, this is done window by
    window; else on the source grid, in a temporary file. Beside the image and the results on the source grid, memory is
    bounded by a slab as deep as a window, however many members there are.

    A model with a localiser looks at the region that this finds, and outside of it all is background. Where it finds
    none, the whole volume is looked at, and a note in the prediction says so.

    Args:
        bundle: The model; its networks are moved to the device.
        settings: How to predict.
        observer: Told in which stage each prediction is.

    Raises:
        InputError: If the device is not there or cannot compute in that precision, or the model does not know a
            structure that is wanted.
        ConfigError: If the overlap is not in [0, 1).
    """

    def __init__(
        self, bundle: Bundle, settings: PredictionSettings | None = None, observer: Observer = UNOBSERVED
    ) -> None:
        self._bundle, self._observer = bundle, observer
        self._settings = settings or PredictionSettings()
        self._clean_up = bundle.config.postprocessing if self._settings.postprocess else None
        wanted = named_targets(bundle.scheme, self._settings.structures)
        decided = decided_targets(bundle.scheme, wanted, self._clean_up)
        self._scheme = bundle.scheme.only(wanted)
        self._decision = Decision.of(bundle.scheme, bundle.calibration, decided)
        device, *helpers = resolve_devices(device_for(self._settings))
        amp_dtype = autocast_dtype(device, self._settings.precision)
        self._passes = plan_passes(bundle, self._settings, device, amp_dtype, helpers)
        self._localiser = Localiser.of(bundle, self._settings, device, amp_dtype)

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
        with self._observer.stage("preprocessing"):
            _check_finite(volume, progress)
        members, names = len(self._bundle.members), self._bundle.scheme.targets
        agreement = Agreement(names, members) if self._settings.agreement and members > 1 else None
        region, notes = self._region(volume, progress)
        predict = self._at_once if len(self._passes) == 1 else self._one_after_other
        predicted = replace(predict(volume, region, agreement, _Stage(progress, label)), notes=notes)
        if agreement is not None:
            agreed = agreement.result()
            predicted = replace(predicted, agreement={name: agreed[name] for name in self._scheme.targets})
        with self._observer.stage("clean-up"):
            return limited(self._cleaned(predicted), self._decision.results, self._scheme)

    @property
    def scheme(self) -> LabelScheme:
        """What the labels of predictions mean: the model's scheme, with the structures that are wanted."""
        return self._scheme

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes over an image that the model needs, with the networks on their device."""
        return self._passes

    def _cleaned(self, predicted: Prediction) -> Prediction:
        if self._clean_up is None:
            return predicted
        section, scheme = self._clean_up, self._decision.results
        if self._decision.wanted:
            section = clean_up_of(section, scheme.targets)
        return replace(predicted, labels=clean(predicted.labels, section, scheme))

    def _region(self, volume: Volume, progress: Progress) -> tuple[Box | None, tuple[str, ...]]:
        """Where to look, None for everywhere, and what the user should know of that."""
        if self._localiser is None:
            return None, ()
        region = self._localiser.region(volume, progress, self._observer)
        return region, () if region is not None else (self._localiser.why_not(volume.geometry),)

    def _at_once(self, volume: Volume, region: Box | None, agreement: Agreement | None, stage: _Stage) -> Prediction:
        only, poll = self._passes[0], None if agreement is None else Poll(self._decision, agreement)
        observer = self._observer
        with observer.stage("preprocessing"):
            prepared = prepare_image(volume, only.config.preprocessing, only.config.channels, region)
            grid = self._windows(only, prepared)
        logits, axis = only.forward.average_logits, grid.stream_axis
        writer = self._writer(prepared.restoration, axis, logits=logits, region=grid.region)
        runners, sink = observer.runners(only.runners), observer.sink(writer)
        stage.begin(grid)
        with observer.stage("assembling"):
            stream_probabilities(runners, prepared.image, grid, only.forward, sink, poll, stage.progress)
        return writer.result()

    def _one_after_other(
        self, volume: Volume, region: Box | None, agreement: Agreement | None, stage: _Stage
    ) -> Prediction:
        scratch = Scratch(self._decision, volume.geometry, votes=agreement is not None)
        for number, one in enumerate(self._passes, start=1):
            with self._observer.stage("preprocessing"):
                prepared = prepare_image(volume, one.config.preprocessing, one.config.channels, region)
                grid = self._windows(one, prepared)
            share, logits = len(one.runners) / len(self._bundle.members), one.forward.average_logits
            sink = scratch.writer(prepared.restoration, grid.stream_axis, share, logits=logits, region=grid.region)
            sink = self._observer.sink(sink)
            runners = self._observer.runners(one.runners)
            stage.begin(grid, f", pass {number} of {len(self._passes)}")
            with self._observer.stage("assembling"):
                stream_probabilities(runners, prepared.image, grid, one.forward, sink, None, stage.progress)
        writer = self._writer(Restoration.unchanged(volume.geometry), 0)
        with self._observer.stage("decision"):
            for start, slab in scratch.slabs():
                writer(start, slab)
            if agreement is not None:
                scratch.count(agreement)
        return writer.result()

    def _windows(self, one: Pass, prepared: Prepared) -> WindowGrid:
        wanted, planned = self._settings.skip_air, self._bundle.config.inference.skip_air
        runners, skip_air = self._observer.runners(one.runners), planned if wanted is None else wanted
        return _windows(replace(one, runners=tuple(runners)), prepared.image, self._decision, skip_air=skip_air)

    def _writer(
        self, restoration: Restoration, axis: int, *, logits: bool = False, region: Box | None = None
    ) -> SourceWriter:
        maps = {"probabilities": self._settings.probabilities, "entropy": self._settings.entropy}
        return SourceWriter(self._decision, restoration, axis, **maps, logits=logits, region=region)


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
    decision, unchanged = Decision.of(scheme, Calibration()), Restoration.unchanged(Geometry.from_spacing((i, j, k)))
    window, forward = forward_plan(config, config.inference, scheme, PredictionSettings(mirror=False))
    only = Pass(config, (TorchRunner(network, amp_dtype),), window, forward)
    grid = _windows(only, image, decision, skip_air=config.inference.skip_air)
    maps = {"probabilities": False, "entropy": False, "logits": forward.average_logits}
    writer = SourceWriter(decision, unchanged, grid.stream_axis, **maps, region=grid.region)
    stream_probabilities(only.runners, image, grid, forward, writer)
    labels = writer.result().labels
    return scheme.class_indices(labels) if isinstance(labels, LabelMap) else labels.array.view(np.uint8)


def _windows(one: Pass, image: NDArray[np.float32], decision: Decision, *, skip_air: bool) -> WindowGrid:
    """The windows over an image; all of them, too, if the networks see something in one of those of air."""
    _, i, j, k = image.shape
    whole = WindowGrid((i, j, k), one.window)
    if not skip_air:
        return whole
    grid = windows_around(body_of(image, one.config.channels), one.window)
    air = left_out(grid, whole)
    is_wrong = air is not None and finds_something(one.runners, image, whole, air, one.forward, decision)
    return whole if is_wrong else grid


def _check_finite(volume: Volume, progress: Progress) -> None:
    for name, channel in zip(volume.channels, volume.array, strict=True):
        if not np.issubdtype(channel.dtype, np.floating):
            continue
        missing = int(channel.size - np.isfinite(channel).sum())
        if missing == channel.size:
            raise DataError(f"channel {name!r} holds no finite value")
        if missing:
            progress.note(f"channel {name!r}: {missing} values are not finite; taken for the nearest that is")
