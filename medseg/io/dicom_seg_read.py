"""DICOM segmentations as label maps, multi-label maps and probabilities (PS3.3 section A.51)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import LabelError, ReadError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume

from .dicom_header import parsing
from .dicom_seg_file import SegmentationFile, SegmentationForm, open_segmentation
from .dicom_seg_grid import Placement, place_frames
from .limits import LARGEST_DECODED


def read_segmentation(path: Path, grid: Geometry | None = None) -> Segmentation:
    """The structures of a binary, label map or fractional segmentation.

    The labels are a label map, or a multi-label map where structures really overlap; its values are the numbers of the
    segments. A fractional one holds a structure where its probability is above one half. Frames that the file leaves
    out are background.

    Args:
        path: A DICOM file.
        grid: What the labels are to lie on, such as that of the source series, in any order and direction of axes;
            None for the grid that the frames span.

    Raises:
        StudyError: If it is no segmentation, or one of a slide.
        GeometryError: If its frames have no place in the patient, or do not lie on the grid.
        LabelError: If its segments make no label scheme.
        ReadError: If it is damaged, contradicts itself, or is larger than the limits.
    """
    file = open_segmentation(path)
    with parsing("a segmentation"):
        placement = place_frames(file.planes, grid)
        scheme = file.segments.scheme
        if file.form is SegmentationForm.LABELMAP:
            return Segmentation(_label_map_frames(file, placement), scheme)
        labels = _exclusive_frames(file, placement)
        if labels is not None:
            return Segmentation(labels, scheme)
        return Segmentation(_overlapping_frames(file, placement), replace(scheme, overlapping=True))


def read_fractional(path: Path, grid: Geometry | None = None) -> tuple[Volume, LabelScheme]:
    """The probabilities of a fractional segmentation, in [0, 1], a channel a segment, and what the segments are.

    Occupancies are returned as they are. Frames that the file leaves out are 0.

    Args:
        path: A DICOM file.
        grid: As for ``read_segmentation``.

    Raises:
        LabelError: If it is binary or a label map, or its segments make no label scheme.
        StudyError: As ``read_segmentation``.
        GeometryError: As ``read_segmentation``.
        ReadError: As ``read_segmentation``.
    """
    file = open_segmentation(path)
    if file.form is not SegmentationForm.FRACTIONAL:
        raise LabelError(f"a {file.form} segmentation holds no probabilities; read_segmentation reads it")
    with parsing("a segmentation"):
        placement = place_frames(file.planes, grid)
        scheme = file.segments.scheme
        probabilities = _empty((len(scheme.names), *placement.shape), np.dtype(np.float32))
        channels = {value: channel for channel, value in enumerate(scheme.values)}
        for place, value, frame in zip(placement, _frame_values(file), file.frames(), strict=True):
            if value:
                probabilities[(channels[value], *place)] = _share(frame, file)
        return Volume(_on_grid(probabilities, placement), placement.grid, scheme.names), scheme


def _label_map_frames(file: SegmentationFile, placement: Placement) -> LabelMap:
    if placement.has_doubles:
        raise ReadError("a label map segmentation with two frames at one place")
    table = np.full(2**file.encoding.bits_allocated, -1, dtype=np.int32)
    for number, value in {0: 0, file.padding: 0, **file.segments.values}.items():
        if number < len(table):
            table[number] = value
    labels = _empty(placement.shape, _value_type(file))
    for place, frame in zip(placement, file.frames(), strict=True):
        found = table[frame]
        if found.min() < 0:
            raise ReadError(f"a label map segmentation holds the value {frame[found < 0][0]}, which is no segment's")
        labels[place] = found
    return LabelMap(_on_grid(labels, placement), placement.grid)


def _exclusive_frames(file: SegmentationFile, placement: Placement) -> LabelMap | None:
    """The label map of a binary or fractional segmentation; None if structures overlap."""
    labels = _empty(placement.shape, _value_type(file))
    for place, value, frame in zip(placement, _frame_values(file), file.frames(), strict=True):
        if not value:
            continue
        mask, there = _mask(frame, file), labels[place]
        if ((there != 0) & (there != value) & mask).any():
            return None
        np.copyto(there, value, where=mask)
    return LabelMap(_on_grid(labels, placement), placement.grid)


def _overlapping_frames(file: SegmentationFile, placement: Placement) -> MultiLabelMap:
    scheme = file.segments.scheme
    masks = _empty((len(scheme.names), *placement.shape), np.dtype(np.bool_))
    channels = {value: channel for channel, value in enumerate(scheme.values)}
    for place, value, frame in zip(placement, _frame_values(file), file.frames(), strict=True):
        if value:
            masks[(channels[value], *place)] |= _mask(frame, file)
    return MultiLabelMap(_on_grid(masks, placement), placement.grid, scheme.names)


def _frame_values(file: SegmentationFile) -> list[int]:
    """The value of each frame's structure, 0 for a background."""
    unknown = set(file.frame_segments) - set(file.segments.values)
    if unknown:
        raise ReadError(f"a segmentation has frames of segment {min(unknown)}, which it does not describe")
    return [file.segments.values[number] for number in file.frame_segments]


def _mask(frame: NDArray[np.unsignedinteger[Any]], file: SegmentationFile) -> NDArray[np.bool_]:
    return frame != 0 if file.form is SegmentationForm.BINARY else _share(frame, file) > 0.5


def _share(frame: NDArray[np.unsignedinteger[Any]], file: SegmentationFile) -> NDArray[np.float32]:
    if int(frame.max()) > file.largest:
        raise ReadError(f"a fractional segmentation holds {frame.max()}, its maximum is said to be {file.largest}")
    share: NDArray[np.float32] = (frame / np.float32(max(file.largest, 1))).astype(np.float32, copy=False)
    return share


def _value_type(file: SegmentationFile) -> np.dtype[np.unsignedinteger[Any]]:
    return np.dtype(np.uint8 if max(file.segments.scheme.values) <= 255 else np.uint16)


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    if size > LARGEST_DECODED:
        raise ReadError(f"a segmentation of {size / 2**30:.1f} GiB; at most {LARGEST_DECODED >> 30} GiB are read")
    return np.zeros(shape, dtype=dtype)


def _on_grid(array: NDArray[Any], placement: Placement) -> NDArray[Any]:
    """From ``(…, k, j, i)`` along the frames to ``(…, i, j, k)`` of the grid, without a copy."""
    return placement.axes.apply(np.swapaxes(array, -1, -3))
