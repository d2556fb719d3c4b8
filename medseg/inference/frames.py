"""Pictures of a stream, such as those of an ultrasound probe or an endoscope, segmented one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import RunConfig
from medseg.core.errors import InputError
from medseg.core.geometry import Geometry, LengthUnit, Shape
from medseg.core.volume import Labels, MultiLabelMap, Volume

from .bundle import Bundle
from .passes import Pass
from .predictor import Predictor
from .settings import PredictionSettings
from .timings import UNOBSERVED, Observer

Frame = NDArray[Any]
"""A grey picture ``(rows, columns)``, or one of several channels ``(rows, columns, channels)``, any real type."""
FrameLabels = NDArray[np.unsignedinteger[Any]]
"""Values of the label scheme ``(rows, columns)``, uint8 where it is wide enough; where targets may overlap, a mask of 0
and 1 each, ``(targets, rows, columns)``."""
_DISPLAYED = {"S": "LP", "I": "LP", "A": "LI", "P": "LI", "R": "PI", "L": "PI"}
"""Where columns and rows of a slice lead to on a screen, by the axis that the slice lies across."""
_PICTURE = "LPS"  # as read_raster has it, for models that take the axes as they come


class FrameSegmenter:
    """A 2D model, ready for one frame after the other; the labels are those of ``Predictor`` for the same picture.

    A frame that fits into the model's window is one forward pass, a larger one is predicted window by window.

    Args:
        bundle: A model of slices or pictures.
        settings: How to predict; frames have labels only, so that maps are not made even if they are asked for.
        whole_frame: Send frames that are larger than the window through the network at once too. That is faster, and
            the network sees more around each pixel than it saw in training: measure what it does to your Dice.
        pixel_mm: Distance of rows, and of columns, mm; for a model of images that have millimetres, which resamples the
            frame as it was trained. None takes pixels as they are.
        observer: Told in which stage each frame is.

    Raises:
        InputError: If the model is 3D, the pixels have no size, or as ``Predictor``.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: PredictionSettings | None = None,
        *,
        whole_frame: bool = False,
        pixel_mm: tuple[float, float] | None = None,
        observer: Observer = UNOBSERVED,
    ) -> None:
        if any(member.config.network.dims != 2 for member in bundle.members):
            raise InputError("frames are segmented by a 2D model, and this one is 3D; plan it with --dims 2")
        if pixel_mm is not None and not all(0 < size < np.inf for size in pixel_mm):
            raise InputError(f"pixel_mm has two sizes above 0, got {pixel_mm}")
        self._bundle, self._observer = bundle, observer
        self._settings = replace(settings or PredictionSettings(), probabilities=False, entropy=False, agreement=False)
        self._whole_frame, self._pixel_mm = whole_frame, pixel_mm
        self._names = tuple(channel.name for channel in bundle.config.channels)
        self._predictor = Predictor(bundle, self._settings, self._observer)
        self._windows = tuple(member.config.sampling.patch for member in bundle.members)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The model's networks on their device."""
        return self._predictor.passes

    def segment(self, frame: Frame) -> FrameLabels:
        """Labels of one frame, on its own pixels; see ``FrameLabels``.

        Args:
            frame: With the model's channels, in their order (grey ones may lack the last axis); not changed.

        Raises:
            InputError: If it is no picture, or its channels are not the model's.
            DataError: If a channel holds no finite value.
            BundleError: If the network gives values that are not finite.
        """
        volume = self._volume(np.asarray(frame))
        if self._whole_frame:
            self._widen(volume.geometry)
        return _picture(self._predictor.predict(volume).labels)

    def _volume(self, frame: Frame) -> Volume:
        pixels = frame[..., np.newaxis] if frame.ndim == 2 else frame
        if pixels.ndim != 3 or 0 in pixels.shape or frame.dtype.kind not in "buif":
            raise InputError(
                "a frame is an array of real numbers, (rows, columns) or (rows, columns, channels), got one of "
                f"{frame.dtype} with shape {frame.shape}"
            )
        if pixels.shape[2] != len(self._names):
            wanted = f"{len(self._names)} channel{'s' * (len(self._names) != 1)} ({', '.join(self._names)})"
            raise InputError(f"the model wants {wanted}, a frame of shape {frame.shape} has {pixels.shape[2]}")
        grid = self._grid(pixels.shape[1], pixels.shape[0])
        return Volume(pixels.transpose(2, 1, 0)[..., np.newaxis], grid, self._names)

    def _grid(self, width: int, height: int) -> Geometry:
        """The frame among the model's axes: the one of a single voxel is that across which slices are taken."""
        across = self._bundle.config.preprocessing.orientation[2]
        codes = _DISPLAYED[across] + across if across in _DISPLAYED else _PICTURE
        unit = LengthUnit.PIXEL if self._pixel_mm is None else LengthUnit.MM
        down, along = self._pixel_mm or (1.0, 1.0)
        return displayed_grid(codes, (width, height, 1), (along, down, 1.0), unit)

    def _widen(self, grid: Geometry) -> None:
        """Make windows that hold the frame, if the last ones do not; streams do not change their size."""
        windows = tuple(_window_over(member.config, grid) for member in self._bundle.members)
        if windows == self._windows:
            return
        members = tuple(
            replace(member, config=_with_patch(member.config, window))
            for member, window in zip(self._bundle.members, windows, strict=True)
        )
        self._predictor = Predictor(replace(self._bundle, members=members), self._settings, self._observer)
        self._windows = windows


def displayed_grid(codes: str, shape: Shape, spacing: tuple[float, float, float], unit: LengthUnit) -> Geometry:
    """A grid with these axis codes whose first voxel lies at the origin."""
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    for axis, (letter, size) in enumerate(zip(codes, spacing, strict=True)):
        world = next(world for world, ends in enumerate(("LR", "PA", "IS")) if letter in ends)
        affine[world, axis] = size if letter in "RAS" else -size
    return Geometry(shape, affine, unit)


def _window_over(config: RunConfig, grid: Geometry) -> Shape:
    """The smallest window that holds what the network sees of a frame; that of the model if it is larger."""
    preprocessing, patch = config.preprocessing, config.sampling.patch
    seen = grid.reoriented(preprocessing.orientation)
    if grid.unit is LengthUnit.MM and preprocessing.spacing is not None:
        seen = seen.resampled(preprocessing.spacing)
    i, j = (
        -(-max(n, size) // factor) * factor
        for n, size, factor in zip(seen.shape[:2], patch[:2], config.network.factors, strict=True)
    )
    return i, j, patch[2]


def _with_patch(config: RunConfig, patch: Shape) -> RunConfig:
    return config.model_copy(update={"sampling": config.sampling.model_copy(update={"patch": patch})})


def _picture(labels: Labels) -> FrameLabels:
    """Rows and columns of a flat label map, as frames have them."""
    array = labels.array.view(np.uint8) if isinstance(labels, MultiLabelMap) else labels.array
    turned: FrameLabels = np.ascontiguousarray(array[..., 0].swapaxes(-1, -2))
    return turned
