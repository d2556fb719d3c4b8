"""The series of a match as one volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medseg.core.case import grid_difference
from medseg.core.errors import GeometryError
from medseg.core.volume import Volume
from medseg.io.dicom_read import read_series
from medseg.io.studies import Series

SAME_GRID_MM = 0.01
"""How far voxels of two channels may lie apart."""


def read_channels(series: Sequence[Series], channels: tuple[str, ...], *, fill_gaps: bool) -> Volume:
    """The volume of one series a channel, on the grid of the first.

    Raises:
        GeometryError: If the grids differ, or a series makes no regular grid.
        ReadError: If a file is damaged.
    """
    parts = [read_series(one, fill_gaps=fill_gaps) for one in series]
    first = parts[0]
    turned = [part.reoriented(first.geometry.axis_codes) for part in parts]
    for name, part in zip(channels, turned, strict=True):
        if not first.geometry.is_close(part.geometry, SAME_GRID_MM):
            raise GeometryError(grid_difference(first, part, f"channels {channels[0]!r} and {name!r}"))
    if len(parts) == 1:
        return first.renamed(channels)
    types = {part.array.dtype for part in turned}
    dtype = types.pop() if len(types) == 1 else np.dtype(np.float32)
    array = np.concatenate([part.array for part in turned], dtype=dtype, casting="unsafe")
    return Volume(array, first.geometry, channels)
