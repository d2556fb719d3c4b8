"""The series of a match as one volume."""

from __future__ import annotations

from medseg.core.volume import Volume
from medseg.data.joining import Joining, join
from medseg.io.dicom_read import read_series

from .select import SAME_GRID_MM, Match


def read_channels(match: Match, joining: Joining, *, fill_gaps: bool) -> Volume:
    """The volume of one series a channel, on the grid of the match's first.

    Args:
        match: The series, and what they serve as.
        joining: What the others are resampled onto; if onto nothing, all have to lie on one grid.
        fill_gaps: Interpolate missing slices.

    Raises:
        GeometryError: If the grids differ and may not, or a series makes no regular grid.
        ReadError: If a file is damaged.
    """
    parts = {
        name: read_series(series, fill_gaps=fill_gaps).renamed((name,))
        for name, series in zip(match.channels, match.series, strict=True)
    }
    frames = {name: series.frame_of_reference_uid for name, series in zip(match.channels, match.series, strict=True)}
    return join(parts, joining, frames, SAME_GRID_MM).volume
