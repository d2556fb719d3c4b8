"""Where an ultrasound image shows echoes: what lies outside is the scanner's screen (PS3.3 section C.8.5.5)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from .boxes import Box
from .header_values import figure

_REGIONS, _FORMAT = 0x00186011, 0x00186012
_LEFT, _TOP, _RIGHT, _BOTTOM = 0x00186018, 0x0018601A, 0x0018601C, 0x0018601E
_GRAPHICS = 5


def echo_regions(dataset: Dataset, rows: int, columns: int) -> list[Box]:
    """The regions of the image that hold echoes, flow, spectra or traces; none if the header names none of use.

    Regions of graphics are the scanner's drawings, which may hold text, and do not count.

    Args:
        dataset: Of any modality.
        rows: Of the image; regions are cut off at its edge.
        columns: Of the image.

    Raises:
        ReadError: If a location is no number.
    """
    items = dataset[_REGIONS].value or () if _REGIONS in dataset else ()
    regions = [_region(item).clipped(rows, columns) for item in items if figure(item, _FORMAT, 0) != _GRAPHICS]
    return [region for region in regions if region.height > 0 and region.width > 0]


def _region(item: Dataset) -> Box:
    """Locations name the first and the last pixel; a region that does not say where it ends is empty."""
    top, left = figure(item, _TOP, 0), figure(item, _LEFT, 0)
    return Box(top, left, figure(item, _BOTTOM, top - 1) + 1, figure(item, _RIGHT, left - 1) + 1)
