"""A DICOM series as a volume."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import DataError, ReadError
from medseg.core.volume import Volume

from .dicom_instance import Image, Instance, read_instance
from .dicom_pixels import read_slices
from .dicom_series import Arrangement, arrange
from .studies import Series

_THREADS = min(4, os.cpu_count() or 1)

Values = NDArray[np.int16] | NDArray[np.float32]


def read_series(series: Series, *, fill_gaps: bool = False) -> Volume:
    """The volume of one series, its channel named by the modality.

    The array index is ``(i, j, k)``: along a row, down a column, along the slice normal. Values are modality values:
    Hounsfield units for CT. They are int16 where that is exact, else float32. Pixels that are not compressed are read
    straight into the volume, so that it is all the memory that reading takes.

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
        array = _values(instances, arrangement)
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


def _values(instances: list[Instance], arrangement: Arrangement) -> Values:
    """Modality values, shape ``(slices, rows, columns)``, missing slices interpolated."""
    scales = [(plane.slope, plane.intercept) for image in arrangement.images for plane in image.planes]
    is_integral = all(slope % 1 == 0 and intercept % 1 == 0 for slope, intercept in scales)
    columns, rows, slices = arrangement.geometry.shape
    values: Values
    if is_integral:
        values = np.empty((slices, rows, columns), np.int16)
        if _read_files(values, instances, arrangement):
            return _with_gaps_filled(values, arrangement)
        del values
    values = np.empty((slices, rows, columns), np.float32)
    _read_files(values, instances, arrangement)
    return _with_gaps_filled(values, arrangement)


def _read_files(values: Values, instances: list[Instance], arrangement: Arrangement) -> bool:
    """Read every slice to its place; False if the type of ``values`` does not hold them."""
    places = [[0] * len(image.planes) for image in arrangement.images]
    for one in arrangement.slices:
        places[one.file][one.frame] = one.place
    with ThreadPoolExecutor(_THREADS) as pool:
        return all(pool.map(partial(_read_file, values), instances, arrangement.images, places))


def _read_file(values: Values, instance: Instance, image: Image, places: list[int]) -> bool:
    scales = [(plane.slope, plane.intercept) for plane in image.planes]
    return read_slices(instance.path, image.encoding, [values[place] for place in places], scales)


def _with_gaps_filled(values: Values, arrangement: Arrangement) -> Values:
    """Put what lies linearly between its neighbours where there is no slice."""
    places = [one.place for one in arrangement.slices]
    for before, after in itertools.pairwise(places):
        below: NDArray[np.float32] = values[before].astype(np.float32)
        for place in range(before + 1, after):
            between = below + (values[after].astype(np.float32) - below) * ((place - before) / (after - before))
            values[place] = np.rint(between) if values.dtype == np.int16 else between
    return values
