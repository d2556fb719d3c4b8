"""What ``medseg bench`` does again and again: a volume from file to file, or a frame from array to array."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medseg.core.errors import InputError
from medseg.core.files import existing
from medseg.core.geometry import Geometry, LengthUnit, Spacing
from medseg.core.progress import Progress
from medseg.data.clips import picture_files, read_frames
from medseg.data.joining import Joining
from medseg.inference.bundle import Bundle, TrainingFacts
from medseg.inference.frames import Frame, FrameSegmenter
from medseg.inference.inputs import Candidate, Finder
from medseg.inference.passes import Pass
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.inference.timings import Timings
from medseg.io.formats import Format, sniff, write_labels, write_volume
from medseg.phantom.stand_in import body_frames, body_volume

from .bench_report import BenchInput

_MOST_FRAMES = 64
_MOST_VOXELS = 2**31


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and for how long.

    Attributes:
        input: An image file, a DICOM folder, a folder of images, a manifest; for a model of pictures a picture, a
            folder of frames, or a DICOM clip. None generates an image as large as those that trained the model.
        shape: Of a generated image: voxels along right, anterior, superior; rows and columns of a frame.
        spacing: Of a generated volume: voxel size along the same axes, mm.
        settings: How the model predicts.
        whole_frame: See ``FrameSegmenter``; for models of pictures.
        repeats: Runs to measure; None measures for ``seconds``.
        seconds: How long runs are begun; there is one at least.
    """

    input: Path | None = None
    shape: tuple[int, ...] | None = None
    spacing: Spacing | None = None
    settings: PredictionSettings = field(default_factory=PredictionSettings)
    whole_frame: bool = False
    repeats: int | None = None
    seconds: float = 30.0

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            InputError: If a number is not positive, or an input is described that is not generated.
        """
        described = (*(self.shape or ()), *(self.spacing or ()))
        if self.input is not None and described:
            raise InputError("shape and spacing are for a generated image, and an input is given")
        if not all(0 < number < math.inf for number in described):
            raise InputError("shape and spacing are numbers above 0")
        if self.repeats is not None and self.repeats < 1:
            raise InputError(f"repeats is at least 1, got {self.repeats}")
        if not 0 < self.seconds < math.inf:
            raise InputError(f"seconds is a number above 0, got {self.seconds}")


@dataclass(frozen=True, eq=False)
class Workplace:
    """What a job is made with.

    Attributes:
        model: What is measured.
        options: How.
        timings: Told of stages.
        folder: For generated images and for results; empty, removed afterwards.
        progress: Told how far it is.
    """

    model: Bundle
    options: BenchOptions
    timings: Timings
    folder: Path
    progress: Progress


@dataclass(frozen=True, eq=False)
class Job:
    """One thing to do again and again.

    Attributes:
        run: Does it with the image of that number, counted on beyond the last; tells how far it is, if it can.
        image: What it is done to.
        warm_up: Runs that should not count.
        tells: Whether a run can tell how far it is.
        passes: Gives the networks, as they are after the runs.
        set_up_s: Seconds that it took to set the model up.
    """

    run: Callable[[int, Progress], None]
    image: BenchInput
    warm_up: int
    tells: bool
    passes: Callable[[], tuple[Pass, ...]]
    set_up_s: float


def make_job(place: Workplace) -> Job:
    """Frames for a model of pictures, volumes for any other, or where the input is a volume.

    Raises:
        InputError: If the input is not there or does not fit the model, or the shape has other axes.
        DataError: If the input cannot be read.
    """
    return _frames_job(place) if _takes_frames(place.model, place.options.input) else _volumes_job(place)


def usual_grid(facts: TrainingFacts, options: BenchOptions) -> Geometry:
    """A grid like those of the training images, where the options do not say otherwise.

    Voxels are as large as the geometric mean of the smallest and the largest, images as long as the mean.
    """
    usual = [math.sqrt(low * high) for low, high in zip(facts.spacing_min, facts.spacing_max, strict=True)]
    x, y, z = options.spacing or usual
    extents = [(low + high) / 2 for low, high in zip(facts.extent_min_mm, facts.extent_max_mm, strict=True)]
    shape = options.shape or [max(1, round(extent / size)) for extent, size in zip(extents, (x, y, z), strict=True)]
    if len(shape) != 3:
        raise InputError(f"the shape of a volume has 3 numbers, got {len(shape)}")
    if math.prod(shape) > _MOST_VOXELS:
        raise InputError(f"a volume of {' x '.join(map(str, shape))} voxels is larger than {_MOST_VOXELS} voxels")
    return Geometry.from_spacing((shape[0], shape[1], shape[2]), (x, y, z)).reoriented("LPS")


def usual_frame(facts: TrainingFacts, options: BenchOptions) -> tuple[int, int]:
    """Rows and columns like those of the training images, where the options do not say otherwise."""
    if options.spacing is not None:
        raise InputError("frames have pixels and no spacing")
    middle = [(low + high) / 2 for low, high in zip(facts.extent_min_mm, facts.extent_max_mm, strict=True)]
    shape = options.shape or (max(1, round(middle[1])), max(1, round(middle[0])))
    if len(shape) != 2:
        raise InputError(f"the shape of a frame is rows and columns, got {len(shape)} numbers")
    if math.prod(shape) > _MOST_VOXELS // _MOST_FRAMES:
        raise InputError(f"frames of {shape[0]} x {shape[1]} pixels are larger than {_MOST_VOXELS // _MOST_FRAMES}")
    return shape[0], shape[1]


def _takes_frames(model: Bundle, source: Path | None) -> bool:
    """Whether a model was trained on pictures, and is given some."""
    config = model.config
    if any(one.config.network.dims != 2 for one in model.members) or config.preprocessing.spacing is not None:
        return False
    if source is None:
        return True
    if existing(source).is_dir():
        return bool(picture_files(source))
    return source.suffix.lower() not in (".csv", ".json") and sniff(source) in (Format.RASTER, Format.DICOM)


def _frames_job(place: Workplace) -> Job:
    options, channels = place.options, len(place.model.config.channels)
    started = time.perf_counter()
    segmenter = FrameSegmenter(place.model, options.settings, whole_frame=options.whole_frame, observer=place.timings)
    set_up_s = time.perf_counter() - started
    frames = list(_frames(place, channels))

    def run(number: int, _: Progress) -> None:
        segmenter.segment(frames[number % len(frames)])

    first = frames[0]
    image = BenchInput(
        kind="frames",
        is_phantom=options.input is None,
        count=len(frames),
        shape=first.shape[:2],
        spacing_mm=None,
        channels=1 if first.ndim == 2 else first.shape[2],
    )
    return Job(run, image, 10, False, lambda: segmenter.passes, set_up_s)


def _frames(place: Workplace, channels: int) -> Iterator[Frame]:
    """The first frames of the input, or generated ones."""
    source, progress = place.options.input, place.progress
    if source is None:
        size = usual_frame(place.model.facts, place.options)
        found = body_frames(_MOST_FRAMES, size, channels)
    else:
        found = itertools.islice(read_frames(source), _MOST_FRAMES)
    progress.start("frames", _MOST_FRAMES)
    for frame in found:
        progress.advance()
        yield frame


def _volumes_job(place: Workplace) -> Job:
    options, timings = place.options, place.timings
    started = time.perf_counter()
    predictor = Predictor(place.model, options.settings, timings)
    set_up_s = time.perf_counter() - started
    candidates = _candidates(place)

    def run(number: int, progress: Progress) -> None:
        candidate = candidates[number % len(candidates)]
        with timings.stage("reading"):
            volume = candidate.load()
        labels = predictor.predict(volume, progress, f"run {number + 1}").labels
        scheme = place.model.scheme
        is_picture = labels.geometry.unit is LengthUnit.PIXEL and scheme.is_exclusive
        with timings.stage("writing"):
            write_labels(place.folder / ("labels.png" if is_picture else "labels.nii.gz"), labels, scheme)

    volume = candidates[0].load()
    image = BenchInput(
        kind="volumes",
        is_phantom=options.input is None,
        count=len(candidates),
        shape=volume.geometry.shape,
        spacing_mm=volume.geometry.spacing,
        channels=len(volume.channels),
    )
    return Job(run, image, 1, True, lambda: predictor.passes, set_up_s)


def _candidates(place: Workplace) -> tuple[Candidate, ...]:
    """The images of the input that fit, or a generated one, on the disk."""
    model, options, progress = place.model, place.options, place.progress
    source = options.input
    if source is None:
        source = place.folder / "image.nii.gz"
        progress.start("an image to measure with", 1)
        names = tuple(channel.name for channel in model.config.channels)
        write_volume(source, body_volume(usual_grid(model.facts, options), names))
        progress.advance()
    found = Finder(model.facts, progress=progress, joining=Joining.of(model.config)).find([source])
    fitting = tuple(one for one in found if one.unfit is None or one.is_named)
    if not fitting:
        raise InputError(f"no image of the input fits the model: {found[0].unfit}")
    return fitting
