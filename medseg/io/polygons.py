"""Outlines and pixels as JSON files of 2D data sets write them: COCO polygons and run lengths, Cityscapes polygons.

COCO: https://cocodataset.org/#format-data. Masks have the shape ``(row, column)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from medseg.core.errors import ReadError

from .contours import filled_part
from .raster import LARGEST_PICTURE

Mask = NDArray[np.bool_]
Size = tuple[int, int]
_FARTHEST = 2.0**24
"""Pixels that a point may lie from the corner of the picture."""
_MOST_NUMBERS = 2**22


def draw_segmentation(segmentation: object, mask: Mask) -> None:
    """Set the pixels of one COCO annotation's ``segmentation``: polygons, or run lengths, compressed or not.

    A pixel is inside a polygon if its centre is, at half a pixel from its corner; a polygon that crosses itself is
    filled by parity. Several polygons are united. pycocotools, which traces the line itself, may differ at pixels
    whose centres are less than a fifth of a pixel from the line.

    Args:
        segmentation: A list of flat lists ``[x, y, x, y, …]``, or ``{"size": [height, width], "counts": …}``.
        mask: Of the picture; changed in place.

    Raises:
        ReadError: If it is none of these, or of another size.
    """
    if isinstance(segmentation, list):
        for numbers in segmentation:
            points = _points(numbers, least=3)[:, ::-1] - 0.5
            rows, columns, part = filled_part([points], (mask.shape[0], mask.shape[1]))
            mask[rows, columns] |= part
        return
    if not isinstance(segmentation, dict):
        raise ReadError("a segmentation is neither a list of polygons nor run lengths")
    if segmentation.get("size") != list(mask.shape):
        raise ReadError(f"run lengths are of size {segmentation.get('size')!r:.60}, the image of {list(mask.shape)}")
    counts = segmentation.get("counts")
    mask |= from_run_lengths(run_lengths(counts) if isinstance(counts, str) else counts, (mask.shape[0], mask.shape[1]))


def run_lengths(text: str) -> list[int]:
    """The run lengths in a compressed COCO string: six bits a character, differences from the third on.

    Raises:
        ReadError: If it is none.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            raise ReadError("run lengths are damaged")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ReadError("run lengths are truncated")
    return counts


def from_run_lengths(counts: object, size: Size) -> Mask:
    """The mask of run lengths, off and on by turns, column by column.

    Raises:
        ReadError: If they are no whole numbers that add up to the size.
    """
    runs = _whole_numbers(counts)
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ReadError(f"run lengths do not add up to the {size[0]}x{size[1]} pixels of the image")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(size[::-1]).T


def polygons_size(document: Mapping[str, Any]) -> Size:
    """Height and width of the image of a Cityscapes file ``*_polygons.json``.

    Raises:
        ReadError: If the document is no such file.
    """
    height, width = document.get("imgHeight"), document.get("imgWidth")
    if not isinstance(height, int) or not isinstance(width, int) or not isinstance(document.get("objects"), list):
        raise ReadError("holds no imgHeight, imgWidth and objects, so it is no file of polygons")
    if min(height, width) < 1 or height * width > LARGEST_PICTURE:
        raise ReadError(f"says its image has {height}x{width} pixels; 1 to {LARGEST_PICTURE} are read")
    return height, width


def polygon_labels(document: Mapping[str, Any]) -> list[str]:
    """The labels of the objects in a Cityscapes file, in drawing order; those of deleted objects are left out.

    Raises:
        ReadError: If an object has none.
    """
    labels = [entry["label"] for entry in _objects(document)]
    if not all(isinstance(label, str) for label in labels):
        raise ReadError("an object's label is no text")
    return labels


def drawn_polygons(document: Mapping[str, Any]) -> Iterator[Mask]:
    """The masks of the objects in a Cityscapes file, one for each of ``polygon_labels``.

    They are drawn as Cityscapes' own scripts do (``json2labelImg.py``), by Pillow: the pixels under the line belong to
    the object.

    Raises:
        ReadError: If the document is no such file.
    """
    size = polygons_size(document)
    return (_drawn(entry.get("polygon"), size) for entry in _objects(document))


def _objects(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    objects = document["objects"]
    if not all(isinstance(entry, dict) and "label" in entry for entry in objects):
        raise ReadError("an object has no label")
    return [entry for entry in objects if not entry.get("deleted")]


def _drawn(polygon: object, size: Size) -> Mask:
    if not isinstance(polygon, list) or not all(isinstance(point, list) and len(point) == 2 for point in polygon):
        raise ReadError("an object's polygon is no list of points [x, y]")
    points = _points([number for point in polygon for number in point], least=2)
    canvas = Image.new("1", size[::-1])
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.asarray(canvas)


def _points(numbers: object, least: int) -> NDArray[np.float64]:
    if not isinstance(numbers, list) or len(numbers) % 2 or not 2 * least <= len(numbers) <= _MOST_NUMBERS:
        raise ReadError(f"a polygon is no list of coordinates of at least {least} points")
    if not all(isinstance(number, int | float) for number in numbers):
        raise ReadError("a polygon holds something that is no number")
    points = np.array([min(max(number, -2 * _FARTHEST), 2 * _FARTHEST) for number in numbers], dtype=np.float64)
    if not (np.abs(points) <= _FARTHEST).all():
        raise ReadError("a polygon leaves its image by far")
    return points.reshape(-1, 2)


def _whole_numbers(counts: object) -> NDArray[np.int64]:
    if not isinstance(counts, Sequence) or len(counts) > _MOST_NUMBERS:
        raise ReadError("run lengths are no list of numbers")
    if not all(isinstance(count, int) and abs(count) <= LARGEST_PICTURE for count in counts):
        raise ReadError("run lengths hold something that is no number of pixels")
    return np.array(counts, dtype=np.int64)
