"""Where an image shows text.

Each tile of the image is looked at as it is, enlarged with single tones made bright, and, if the image is large, at a
smaller scale for large letters. A place counts as text if the reading network makes out two letters there; once one
line is sure, weaker places beside it count too. Found is what is printed upright or turned by 90 or 180 degrees, from 8
pixels of height. Not found are single letters, handwriting, slanted lines, and letters as faint as the noise around
them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .boxes import Box
from .one_tone import one_tone_view
from .text_models import MULTIPLE, Picture, TextModels, installed_models, scaled

_TILE, _OVERLAP = 1024, 128
_SMALL, _LARGE, _ENLARGED = 400, 1500, 2.0
_FLAT = 4
_IS_TEXT, _LEAST_SCORE, _LIKELY = 0.3, 0.4, 0.5
_UNCLIP = 1.6
_LEAST_SIDE, _LEAST_LENGTH, _TALLEST = 5, 8, 80
_MOST_PLACES, _LINES_AROUND, _DENSE = 200, 3, 0.6
_SURE, _CERTAIN = 0.6, 0.85
_STROKES = frozenset("IlLi1|0OoDcCTEFmMH\u2160\u2161\u2162")
"""Letters that ticks, bars, rings and grids are taken for."""


class Place(NamedTuple):
    """Where text may be, and how likely."""

    box: Box
    score: float


@dataclass(frozen=True, eq=False)
class _Look:
    """A part of the image as the detector gets it."""

    picture: Picture
    scale: float
    corner: tuple[int, int]


class TextFinder:
    """Finds text in pictures; the networks are loaded when the first one comes."""

    def __init__(self, models: TextModels) -> None:
        self._models = models

    def find(self, image: NDArray[np.uint8]) -> list[Box]:
        """Boxes around the lines of text; empty if there are none.

        Args:
            image: Shape ``(rows, columns)`` or ``(rows, columns, 3)``.
        """
        sure: list[Box] = []
        weak: list[Box] = []
        for look in _looks(image):
            for place in self._places(look):
                box = place.box
                if self._is_read(_cut(look.picture, box)):
                    sure.append(_in_image(box, look, image))
                elif place.score >= _LIKELY:
                    weak.append(_in_image(box, look, image))
        return _blocks(_without_repeats([*sure, *_beside(weak, sure)]))

    def _places(self, look: _Look) -> list[Place]:
        rows, columns = look.picture.shape[:2]
        padded = _padded(look.picture)
        likelihood = self._models.likelihood(padded)[:rows, :columns]
        places = [place for place in _components(likelihood) if _may_be_a_line(place)]
        return sorted(places, key=lambda place: place.score, reverse=True)[:_MOST_PLACES]

    def _is_read(self, line: Picture) -> bool:
        is_upright = line.shape[0] <= 1.5 * line.shape[1]
        turns = {0: _SURE, 2: _CERTAIN} if is_upright else {1: _SURE, 3: _SURE}
        return any(_is_text(*self._models.read(np.rot90(line, turn)), least) for turn, least in turns.items())


def load_text_finder(threads: int = 1) -> TextFinder | None:
    """A finder that computes with so many threads; None if the extra ``ocr`` is not installed."""
    files = installed_models()
    return None if files is None else TextFinder(TextModels(files, threads))


def _looks(image: Picture) -> Iterator[_Look]:
    """The image as the detector is to see it: in parts, so that its memory does not grow with the image."""
    longest = max(image.shape[:2])
    scales = [2.0 if longest < _SMALL else 1.0, *([_TILE / longest] if longest > _LARGE else [])]
    for scale in scales:
        for part, corner in _parts(image, scale):
            yield _Look(_at_scale(part, scale), scale, corner)
    grey = image if image.ndim == 2 else np.rint(image.mean(axis=2)).astype(np.uint8)
    scale = _ENLARGED if longest <= _LARGE else 1.0
    for part, corner in _parts(grey, scale):
        view = one_tone_view(part)
        if view is not None:
            yield _Look(_at_scale(view, scale), scale, corner)


def _parts(image: Picture, scale: float) -> Iterator[tuple[Picture, tuple[int, int]]]:
    """Parts of at most 1024 pixels a side when scaled, and their corners; those that show nothing are left out."""
    side, step = round(_TILE / scale), round((_TILE - _OVERLAP) / scale)
    rows, columns = image.shape[:2]
    for top, left in itertools.product(_starts(rows, side, step), _starts(columns, side, step)):
        part = image[top : top + side, left : left + side]
        if int(part.max()) - int(part.min()) >= _FLAT:
            yield part, (top, left)


def _starts(length: int, side: int, step: int) -> range:
    return range(0, max(1, length - (side - step)), step)


def _at_scale(picture: Picture, scale: float) -> Picture:
    rows, columns = (max(1, round(length * scale)) for length in picture.shape[:2])
    return scaled(picture, rows, columns)


def _padded(picture: Picture) -> Picture:
    """The picture with its last pixels repeated up to a size that the detector takes."""
    missing = [(0, -length % MULTIPLE) for length in picture.shape[:2]]
    return np.pad(picture, [*missing, *[(0, 0)] * (picture.ndim - 2)], mode="edge")


def _components(likelihood: NDArray[np.float32]) -> Iterator[Place]:
    """Boxes around what is likely text, grown by what the detector leaves off the edges of letters."""
    mask = ndimage.binary_dilation(likelihood > _IS_TEXT, np.ones((2, 2), np.bool_))
    labels, _ = ndimage.label(mask, np.ones((3, 3), np.bool_))
    for rows, columns in ndimage.find_objects(labels):
        box = Box(rows.start, columns.start, rows.stop, columns.stop)
        margin = round(_UNCLIP * box.height * box.width / (2 * (box.height + box.width)))
        grown = box.grown(margin).clipped(*likelihood.shape)
        yield Place(grown, float(likelihood[rows, columns].mean()))


def _may_be_a_line(place: Place) -> bool:
    thin, long = sorted((place.box.height, place.box.width))
    return place.score >= _LEAST_SCORE and _LEAST_SIDE <= thin <= _TALLEST and long >= _LEAST_LENGTH


def _is_text(letters: str, certainty: float, least: float) -> bool:
    """Whether a line of text was read, and not ticks or rings taken for letters."""
    found = [letter for letter in letters if letter.isalnum()]
    if certainty < least or len(found) < 2:
        return False
    return not _STROKES.issuperset(found) or (certainty >= _CERTAIN and len(set(found)) >= 3)


def _cut(picture: Picture, box: Box) -> Picture:
    return picture[box.top : box.bottom, box.left : box.right]


def _in_image(box: Box, look: _Look, image: Picture) -> Box:
    """A box of a look as a box of the image."""
    scale = look.scale
    own = Box(
        int(np.floor(box.top / scale)),
        int(np.floor(box.left / scale)),
        int(np.ceil(box.bottom / scale)),
        int(np.ceil(box.right / scale)),
    )
    return own.moved(*look.corner).clipped(*image.shape[:2])


def _beside(weak: list[Box], sure: list[Box]) -> list[Box]:
    """The weak boxes that lie within a few lines of a sure one."""
    around = [box.grown(_LINES_AROUND * min(box.height, box.width)) for box in sure]
    return [box for box in weak if any(box.touches(area) for area in around)]


def _blocks(lines: list[Box]) -> list[Box]:
    """The lines, those that form a block as the box around it: where one of them fades, its neighbours reach on."""
    blocks: list[Box] = []
    for line in lines:
        block = line
        while (near := next((other for other in blocks if _are_one_block(block, other)), None)) is not None:
            blocks.remove(near)
            block = block.joined(near)
        blocks.append(block)
    return sorted(blocks)


def _are_one_block(one: Box, other: Box) -> bool:
    reach = min(one.height, other.height, one.width, other.width) // 2
    if not one.grown(reach).touches(other):
        return False
    text = one.area + other.area - one.clipped_to(other).area
    return text >= _DENSE * one.joined(other).area


def _without_repeats(boxes: list[Box]) -> list[Box]:
    """The boxes that do not lie inside another one."""
    kept: list[Box] = []
    for box in sorted(set(boxes), key=lambda one: one.area, reverse=True):
        if not any(box.lies_in(other) for other in kept):
            kept.append(box)
    return sorted(kept)
