"""Stored values as pictures of 8 bits, in each window in which a person might look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from medseg.core.errors import ReadError
from medseg.io.dicom_elements import quietly
from medseg.io.dicom_header import parsing

from .header_values import figure, figures
from .pixel_frames import Frames

Stored: TypeAlias = NDArray[np.integer[Any]]
_CENTRE, _WIDTH, _INTERCEPT, _SLOPE = 0x00281050, 0x00281051, 0x00281052, 0x00281053
_PADDING, _PADDING_LIMIT = 0x00280120, 0x00280121
_PERCENTILES, _MOST_SAMPLED = (0.5, 99.5), 2**20
_MOST_WINDOWS, _ALIKE = 3, 0.15
_SHEET_SIDE, _SHEET_PIXELS = 3, 1024


@dataclass(frozen=True)
class Window:
    """Stored values that become black and white; what lies outside is cut off."""

    low: float
    high: float

    def is_like(self, other: Window) -> bool:
        """Whether nobody would see the difference."""
        width = min(self.high - self.low, other.high - other.low)
        return max(abs(self.low - other.low), abs(self.high - other.high)) < _ALIKE * width

    def picture(self, values: Stored) -> NDArray[np.uint8]:
        """The values in 8 bits."""
        scale = 255 / (self.high - self.low)
        grey: NDArray[np.float32] = np.clip((values.astype(np.float32) - self.low) * scale, 0, 255)
        return np.rint(grey).astype(np.uint8)


class Views:
    """How the frames of one object are looked at."""

    def __init__(self, dataset: Dataset, frames: Frames) -> None:
        """Choose the windows from the header and from all frames.

        Raises:
            ReadError: If an element that describes the values is no number, or the palette is damaged.
        """
        self._photometric, self._palette = frames.photometric, np.zeros((0, 3), np.uint8)
        self._windows: list[Window] = []
        if frames.photometric == "PALETTE COLOR":
            self._palette = _palette(dataset, frames)
        elif frames.photometric == "RGB":
            self._windows = [Window(0, 2.0**frames.bits_stored - 1)]
        else:
            self._windows = _windows(dataset, frames)

    def pictures(self, values: Stored) -> list[NDArray[np.uint8]]:
        """A part of one frame as it may be seen; shapes ``(rows, columns)``, with a third axis if in colour."""
        if self._photometric == "PALETTE COLOR":
            return [self._palette[values]]
        return [window.picture(values) for window in self._windows]

    def black(self, frames: Frames) -> int:
        """The stored value that is darkest on the screen, among those that occur."""
        match frames.photometric:
            case "RGB":
                return 0
            case "MONOCHROME1":
                return int(frames.values.max())
            case "PALETTE COLOR":
                return int(self._palette[: int(frames.values.max()) + 1].sum(axis=1, dtype=np.int64).argmin())
            case _:
                return int(frames.values.min())

    def sheet(self, frames: Frames) -> NDArray[np.uint8]:
        """Up to nine frames side by side for a person to look at, at most 1024 pixels a frame."""
        count = min(len(frames.values), _SHEET_SIDE**2)
        chosen = np.unique(np.linspace(0, len(frames.values) - 1, count).round().astype(int))
        step = -(-max(frames.size) // (_SHEET_PIXELS if count == 1 else _SHEET_PIXELS // 2))
        shown = [self.pictures(frames.values[index][::step, ::step])[0] for index in chosen]
        if frames.photometric == "MONOCHROME1":
            shown = [255 - picture for picture in shown]
        across = min(len(shown), _SHEET_SIDE)
        shown += [np.zeros_like(shown[0])] * (-len(shown) % across)
        rows = [np.concatenate(shown[start : start + across], axis=1) for start in range(0, len(shown), across)]
        return np.concatenate(rows, axis=0)


def _windows(dataset: Dataset, frames: Frames) -> list[Window]:
    """Different windows that hold: all values but the padding, nearly all, and what the header says."""
    values = frames.values[~_is_padding(dataset, frames.values)]
    if values.size == 0:
        values = frames.values.ravel()
    few = values[:: -(-values.size // _MOST_SAMPLED)]
    low, high = np.percentile(few, _PERCENTILES).tolist()
    candidates = [Window(low, high), Window(float(values.min()), float(values.max())), *_header_windows(dataset)]
    chosen: list[Window] = []
    for window in candidates:
        if window.high > window.low and not any(window.is_like(other) for other in chosen):
            chosen.append(window)
    return chosen or [Window(low, low + 1)]


def _is_padding(dataset: Dataset, values: Stored) -> NDArray[np.bool_]:
    """What was never measured (PS3.3 section C.7.5.1.1.2)."""
    if _PADDING not in dataset:
        return np.zeros(values.shape, np.bool_)
    first = figure(dataset, _PADDING, 0)
    last = figure(dataset, _PADDING_LIMIT, first)
    return (values >= min(first, last)) & (values <= max(first, last))


def _header_windows(dataset: Dataset) -> list[Window]:
    """The first windows of the header in stored values (PS3.3 section C.11.2)."""
    slope = (figures(dataset, _SLOPE) or (1.0,))[0] or 1.0
    intercept = (figures(dataset, _INTERCEPT) or (0.0,))[0]
    pairs = list(zip(figures(dataset, _CENTRE), figures(dataset, _WIDTH), strict=False))[:_MOST_WINDOWS]
    ends = [sorted(((c - w / 2 - intercept) / slope, (c + w / 2 - intercept) / slope)) for c, w in pairs]
    return [Window(low, high) for low, high in ends]


def _palette(dataset: Dataset, frames: Frames) -> NDArray[np.uint8]:
    """The colour of each stored value that a pixel can have, in 8 bits; shape ``(values, 3)``."""
    highest = int(frames.values.max())
    if frames.values.min() < 0:
        raise ReadError("a palette image with negative values")
    with parsing("a palette"), quietly():
        colours = apply_color_lut(np.arange(highest + 1, dtype=np.uint32), dataset)[:, :3]
    return np.asarray(colours >> 8 if colours.dtype.itemsize > 1 else colours, dtype=np.uint8)
