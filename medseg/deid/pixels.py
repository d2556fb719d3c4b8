"""Text that is burned into the pixels of DICOM images: found, blanked, and looked for again.

What the rules doubt is searched in every frame. Text is blanked in all frames, whichever frame showed it; ultrasound
images lose what lies outside of their regions first. Nothing doubtful passes that was not searched: without the extra
``ocr``, and for pixels that cannot be read, the result is doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.config.deid import Option, TextSearch
from medseg.core.errors import ReadError
from medseg.io.dicom_header import PIXEL_TAGS

from .boxes import Box, covered
from .burned_in import doubt, says_text
from .burned_in_rules import banners
from .pixel_frames import Frames, read_frames, shallow_copy, with_frames
from .pixel_views import Stored, Views
from .ultrasound_regions import echo_regions
from .unused_bits import without_unused_bits

if TYPE_CHECKING:
    from medseg.io.dicom_file import DicomFile

    from .text_finder import TextFinder

_BURNED_IN = 0x00280301
_MARGIN, _CONTEXT = 2, 48
_ROUNDS, _MOST_FRAMES, _PAGE = 3, 500, 0.5
_ALL = "all images are to be searched"
_NO_READER = "nothing here searches it; install the extra ocr and switch text_search on, or let a person look at it"
_NOT_FOUND = "no text was found, although the header says that there is some"


class PixelResult(StrEnum):
    """What became of the pixels of one object."""

    NO_PIXELS = "no pixels"
    NOT_SUSPECT = "not suspect by rule"
    SEARCHED = "searched, no text"
    BLANKED = "text blanked, searched again"
    REVIEWED = "reviewed by a person"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, eq=False)
class PixelOutcome:
    """What was done to the pixels of one object.

    Attributes:
        result: The outcome.
        reason: Why it was searched or is doubtful, without a value of the file.
        boxes: Places with text that were blanked.
        preview: What a person has to look at, of 8 bits, ``(rows, columns)`` or ``(rows, columns, 3)``; only if
            doubtful and readable.
        claims: CLEAN_PIXEL_DATA if a search of the result found no text.
    """

    result: PixelResult
    reason: str = ""
    boxes: int = 0
    preview: NDArray[np.uint8] | None = None
    claims: frozenset[Option] = frozenset()


def clean_pixels(
    file: DicomFile, search: TextSearch, finder: TextFinder | None, *, reviewed: bool
) -> tuple[DicomFile, PixelOutcome]:
    """The object with its text blanked, and what can be said of it.

    A person who accepts an image has seen it as this function leaves it, so it is treated alike: only a doubtful result
    becomes a reviewed one. Pixels that cannot be read stay doubtful even so: nobody saw them.

    Args:
        file: As read; it stays as it is, the result may share its elements.
        search: Which images are searched; doubtful ones that are not remain doubtful.
        finder: Finds text; None without the extra ``ocr``.
        reviewed: Whether a person has accepted the picture.
    """
    if not any(tag in file.dataset for tag in PIXEL_TAGS):
        return file, PixelOutcome(PixelResult.NO_PIXELS)
    try:
        why = doubt(file.dataset)
        file = without_unused_bits(file)
        if why is None and search is not TextSearch.ALL:
            return file, PixelOutcome(PixelResult.NOT_SUSPECT)
        return _searched(file, why or _ALL, None if search is TextSearch.OFF else finder, reviewed=reviewed)
    except ReadError as error:
        return file, PixelOutcome(PixelResult.DOUBTFUL, f"the pixels may show text, but {error}")


def _searched(
    file: DicomFile, why: str, finder: TextFinder | None, *, reviewed: bool
) -> tuple[DicomFile, PixelOutcome]:
    frames = read_frames(file)
    views = Views(file.dataset, frames)
    black = views.black(frames)
    is_cut = _cut_screen(file.dataset, frames, black)
    boxes, problem = (0, _NO_READER) if finder is None else _blank_text(frames, views, black, finder)
    if not (boxes or is_cut or problem) and says_text(file.dataset):
        problem = _NOT_FOUND
    if boxes or is_cut:
        file = with_frames(file, frames)
    if reviewed:
        return file, PixelOutcome(PixelResult.REVIEWED, why, boxes)
    if problem:
        return file, PixelOutcome(PixelResult.DOUBTFUL, f"{why}; {problem}", boxes, views.sheet(frames))
    result = PixelResult.BLANKED if boxes or is_cut else PixelResult.SEARCHED
    return _without_text(file), PixelOutcome(result, why, boxes, claims=frozenset({Option.CLEAN_PIXEL_DATA}))


def _cut_screen(dataset: Dataset, frames: Frames, black: int) -> bool:
    """Blank what lies outside of the ultrasound regions, and banners; whether that changed a pixel."""
    mask = covered(banners(dataset, *frames.size), *frames.size)
    regions = echo_regions(dataset, *frames.size)
    if regions:
        mask |= ~covered(regions, *frames.size)
    is_changed = bool((frames.values[:, mask] != black).any())
    frames.fill(mask, black)
    return is_changed


def _blank_text(frames: Frames, views: Views, black: int, finder: TextFinder) -> tuple[int, str]:
    """Blank text until a search finds none; how many places there were, and what stands against a release."""
    parts = list(_new_parts(frames.values))
    if len(parts) > _MOST_FRAMES:
        return 0, f"more than {_MOST_FRAMES} different frames are not searched"
    blanked, places = np.zeros(frames.size, np.bool_), 0
    for _ in range(_ROUNDS):
        found = _text(frames, views, finder, parts)
        if not found:
            return places, ""
        places += len(found)
        blanked |= covered([box.grown(_MARGIN) for box in found], *frames.size)
        frames.fill(blanked, black)
        if blanked.mean() > _PAGE:
            return places, "text covers more than half of it: a page, not an image"
    return places, "text was still found after it had been blanked" if _text(frames, views, finder, parts) else ""


def _text(frames: Frames, views: Views, finder: TextFinder, parts: list[tuple[int, Box]]) -> set[Box]:
    """Boxes around the text of all frames."""
    found: set[Box] = set()
    for index, part in parts:
        values = frames.values[index, part.top : part.bottom, part.left : part.right]
        for picture in views.pictures(values):
            found.update(box.moved(part.top, part.left) for box in finder.find(picture))
    return found


def _new_parts(values: Stored) -> Iterator[tuple[int, Box]]:
    """The number of each frame and what of it differs from the frame before, with some of its surroundings.

    What is as before was searched before. Text that appears letter by letter is found with the letters beside it.
    """
    rows, columns = values.shape[1:3]
    yield 0, Box(0, 0, rows, columns)
    for index in range(1, len(values)):
        differs = values[index] != values[index - 1]
        differs = differs.any(axis=2) if differs.ndim == 3 else differs
        if differs.any():
            down, across = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
            part = Box(int(down[0]), int(across[0]), int(down[-1]) + 1, int(across[-1]) + 1)
            yield index, part.grown(_CONTEXT).clipped(rows, columns)


def _without_text(file: DicomFile) -> DicomFile:
    """The object with the statement that nothing is burned in (PS3.3 section C.7.6.1)."""
    dataset = shallow_copy(file.dataset)
    dataset.add_new(_BURNED_IN, "CS", "NO")
    return replace(file, dataset=dataset)
