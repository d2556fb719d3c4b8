"""Which attributes that Table E.1-1 does not list are technical, and stay as they are."""

from __future__ import annotations

import functools
import json
from importlib.resources import files

from pydicom.datadict import tag_for_keyword

from medseg.core.errors import DeidError

CLASS_UIDS = frozenset(
    {
        0x00080016,  # SOP Class UID
        0x0008001A,  # Related General SOP Class UID
        0x0008001B,  # Original Specialized SOP Class UID
        0x00080062,  # SOP Classes in Study
        0x0008010C,  # Coding Scheme UID
        0x00080117,  # Context UID
        0x00080118,  # Mapping Resource UID
        0x0008040E,  # Stored Instance Transfer Syntax UID
        0x00081150,  # Referenced SOP Class UID
        0x0008115A,  # SOP Classes Supported
        0x00083002,  # Available Transfer Syntax UID
        0x00340003,  # Flow Transfer Syntax UID
        0x04000010,  # MAC Calculation Transfer Syntax UID
        0x04000510,  # Encrypted Content Transfer Syntax UID
        0x30100052,  # Pertinent SOP Classes in Study
        0x30100053,  # Pertinent SOP Classes in Series
    }
)
"""UID attributes outside the table that name classes, code lists or encodings; every other UID is replaced."""

KEPT_BINARY = frozenset(
    {
        0x00181638,  # Vertices of the Polygonal Outline
        0x00221531,  # Two Dimensional to Three Dimensional Map Data
        *range(0x00281200, 0x00281205),  # gray, red, green, blue, alpha palettes
        *range(0x00281211, 0x00281214),  # large palettes, retired
        *range(0x00281221, 0x00281225),  # segmented palettes
        0x00281408,  # Blending Lookup Table Data
        0x00283006,  # LUT Data
        0x003A032E,  # Filter Lookup Table Data
        0x00640009,  # Vector Grid Data of a deformable registration
        0x00660016,  # Point Coordinates Data
        *range(0x00660021, 0x00660026),  # vectors, points and point indices of surfaces
        0x00660029,  # Primitive Point Index List
        *range(0x00660040, 0x00660044),  # long point index lists
        0x00660103,  # Recommended Display CIELab Value List of tracks
        0x00660125,  # Floating Point Values of tracks
        0x00660129,  # Track Point Index List
        0x006A0011,  # Annotation Index List
        0x00700256,  # Fill Pattern
        0x0070150D,  # Volumetric Curve Points
        0x00701808,  # Weighting Lookup Table Data, retired
        0x00701A07,  # Volumetric Curve Up Directions
        0x00800010,  # U Value Data of a surface texture
        0x00800011,  # V Value Data
        0x300A0664,  # Compensator Proximal Thickness Map
        0x300A0665,  # Compensator Distal Thickness Map
        0x300A066B,  # Block Edge Data
        0x54000110,  # Channel Minimum Value
        0x54000112,  # Channel Maximum Value
        0x5400100A,  # Waveform Padding Value
        0x54001010,  # Waveform Data
        0x56000010,  # First Order Phase Correction Angle
        0x56000020,  # Spectroscopy Data
        0x7FE00001,  # Extended Offset Table
        0x7FE00002,  # Extended Offset Table Lengths
        0x7FE00008,  # Float Pixel Data
        0x7FE00009,  # Double Float Pixel Data
        0x7FE00010,  # Pixel Data
    }
)
"""Binary attributes outside the table that are the image or geometry itself.

Left out are those that may carry text or another file (ICC Profile, signatures, encrypted content, HPGL drawings),
values of hanging protocols and everything for industry and security. Waveform Data stays: voice audio has to be told by
its SOP class.
"""


def _read_keywords() -> frozenset[int]:
    text = files(__package__).joinpath("data/technical_text.txt").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return frozenset(_tag(line) for line in lines if line and not line.startswith("#"))


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise DeidError(f"technical_text.txt names {keyword!r}, which is no attribute of pydicom's dictionary")
    return int(tag)


KEPT_TEXT = _read_keywords()
"""Text attributes outside the table that hold technical values; every other text is cleaned."""


@functools.cache
def allow_list(modality: str) -> frozenset[int]:
    """Tags that an image of a modality needs, at any depth of its sequences.

    They describe pixels, geometry, acquisition and references; what is not among them can go without harm to the image.
    Free text is among them only where an IOD demands it (type 1 or 2), and is then cleaned like any other.

    Args:
        modality: Modality (0008,0060), such as ``CT``; an unknown one gets what all images have in common.
    """
    lists = _read_lists()
    return lists["base"] | lists.get(modality, frozenset())


@functools.cache
def _read_lists() -> dict[str, frozenset[int]]:
    content = json.loads(files(__package__).joinpath("data/allow_list.json").read_text(encoding="utf-8"))
    return {name: frozenset(int(tag, 16) for tag in tags) for name, tags in content["lists"].items()}
