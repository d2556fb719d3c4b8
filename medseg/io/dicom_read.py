"""A DICOM series as a volume."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import DataError, ReadError
from medseg.core.volume import Volume

from .dicom_instance import Instance, read_instance
from .dicom_pixels import Stored, read_frames, rescaled, stored_type
from .dicom_series import Arrangement, arrange
from .studies import Series


def read_series(series: Series, *, fill_gaps: bool = False) -> Volume:
    """The volume of one series, its channel named by the modality.

    The array index is ``(i, j, k)``: along a row, down a column, along the slice normal. Values are modality values:
    Hounsfield units for CT. They are int16 where that is exact, else float32.

    Args:
        series: As ``find_series`` found it.
        fill_gaps: Interpolate missing slices linearly between their neighbours instead of refusing.

    Raises:
        GeometryError: If slices are missing, doubled, unevenly spaced, tilted, or differ in size or orientation.
        StudyError: If the series is no image, or several volumes.
        ReadError: If a file is damaged, larger than the limits, or in an encoding that is not read.
    """
    try:
        instances = list(_instances(series))
        arrangement = arrange(instances, fill_gaps=fill_gaps)
        array = _filled(*_slice_values(instances, arrangement), arrangement.geometry.shape[2])
    except DataError as error:
        raise type(error)(f"series of {len(series.files)} files: {error}") from error
    except MemoryError:
        raise ReadError(f"series of {len(series.files)} files: too large for the memory of this machine") from None
    return Volume(array.transpose(2, 1, 0)[np.newaxis], arrangement.geometry, (series.modality or "image",))


def _instances(series: Series) -> Iterator[Instance]:
    for number, path in enumerate(series.files, start=1):
        try:
            instance = read_instance(path)
        except ReadError as error:
            raise ReadError(f"file {number}: {error}") from error
        if instance is None or instance.identity.uid != series.uid:
            raise ReadError(f"file {number} does not belong to the series any more; find it anew")
        yield instance


def _slice_values(instances: list[Instance], arrangement: Arrangement) -> tuple[NDArray[np.generic], list[int]]:
    """Modality values of the slices, shape ``(slices, rows, columns)``, and the place of each."""
    images, slices = arrangement.images, arrangement.slices
    index = {(one.file, one.frame): number for number, one in enumerate(slices)}
    kind = np.result_type(*(stored_type(image.encoding) for image in images))
    stored: Stored = np.empty((len(slices), images[0].encoding.rows, images[0].encoding.columns), dtype=kind)
    for file, (instance, image) in enumerate(zip(instances, images, strict=True)):
        for frame, values in enumerate(read_frames(instance.path, image.encoding)):
            stored[index[file, frame]] = values
    planes = [images[one.file].planes[one.frame] for one in slices]
    slopes = np.array([plane.slope for plane in planes])
    intercepts = np.array([plane.intercept for plane in planes])
    return rescaled(stored, slopes, intercepts), [one.place for one in slices]


def _filled(values: NDArray[np.generic], places: list[int], size: int) -> NDArray[np.generic]:
    """``values`` spread to their places, and what lies between them interpolated."""
    if len(places) == size:
        return values
    filled = np.empty((size, *values.shape[1:]), dtype=values.dtype)
    filled[places] = values
    for number, (before, after) in enumerate(itertools.pairwise(places)):
        below, above = values[number].astype(np.float32), values[number + 1].astype(np.float32)
        for place in range(before + 1, after):
            between = below + (above - below) * ((place - before) / (after - before))
            filled[place] = np.rint(between) if np.issubdtype(filled.dtype, np.integer) else between
    return filled
