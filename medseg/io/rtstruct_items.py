"""What an RT structure set says of its structures: names, numbers, colours, codes and contours as points."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from medseg.core.errors import ReadError
from medseg.core.labels import CodedConcept, Colour, Laterality

from .dicom_codes import laterality_of, read_code
from .dicom_elements import quietly
from .dicom_file import read_dicom
from .dicom_header import integer, items, numbers, parsing, text

_CLASS = 0x00080016
_ROIS, _ROI_CONTOURS, _OBSERVATIONS = 0x30060020, 0x30060039, 0x30060080
_NUMBER, _NAME, _REFERENCED_NUMBER, _COLOUR = 0x30060022, 0x30060026, 0x30060084, 0x3006002A
_CONTOURS, _KIND, _COUNT, _DATA = 0x30060040, 0x30060042, 0x30060046, 0x30060050
_CATEGORY, _IDENTIFICATION, _MODIFIER = 0x00620003, 0x30060086, 0x00620011
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_MOST_NUMBERS = 3 * 2**20
_MOST_NUMBERS_IN_ALL = 3 * 2**25
_LARGEST_MM = 1e9
_LONGEST_NAME = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Contours:
    """The closed contours and the single points of one structure, in LPS millimetres.

    Attributes:
        closed: All points of the closed contours, shape ``(points, 3)``.
        lengths: How many of them each contour has, in order; none is 0.
        single: Points that are a contour each, shape ``(points, 3)``.
    """

    closed: NDArray[np.float64]
    lengths: NDArray[np.int64]
    single: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Roi:
    """One region of interest of a structure set (PS3.3 section C.8.8.5).

    Attributes:
        number: Its ROI Number.
        name: Unique in the set; ``structure 3`` if it has none.
        colour: None if the set says none.
        code: What it is; None if the set does not say.
        category: What kind of thing it is; None if the set does not say.
        laterality: Its side; None if the set does not say.
        contours: Their items, not decoded yet.
    """

    number: int
    name: str
    colour: Colour | None
    code: CodedConcept | None
    category: CodedConcept | None
    laterality: Laterality | None
    contours: tuple[Dataset, ...] = field(repr=False)


def read_rois(path: Path) -> tuple[Roi, ...]:
    """The structures of a structure set in the order of their definition, those without contours too.

    Names that occur twice are numbered. Contours of a structure that is not defined are left out, and counted in the
    log.

    Raises:
        ReadError: If the file is none, or damaged, or defines no structure or one number twice.
    """
    file = read_dicom(path)
    if file is None or text(file.dataset, _CLASS) != str(RTStructureSetStorage):
        raise ReadError("a file is no DICOM RT structure set")
    with parsing("a structure set"), quietly():
        return _rois(file.dataset)


def read_contours(rois: Sequence[Roi]) -> list[Contours]:
    """The contours of structures as numbers; open contours are left out, and counted in the log.

    Raises:
        ReadError: If there are more than 2**20 points in a contour or 2**25 in all, or a contour's data is not
            three finite numbers a point, as many as it says.
    """
    with parsing("the contours of a structure set"), quietly():
        contours = [item for roi in rois for item in roi.contours]
        counts = [_raw(item).count(b"\\") for item in contours]
        if max(counts, default=0) >= _MOST_NUMBERS or sum(counts) >= _MOST_NUMBERS_IN_ALL:
            raise ReadError(
                f"contours hold more than the limit of {_MOST_NUMBERS // 3} points each "
                f"and {_MOST_NUMBERS_IN_ALL // 3} in all"
            )
        kinds = Counter(text(item, _KIND) for item in contours)
        skipped = sum(count for kind, count in kinds.items() if kind not in (*_CLOSED, "POINT"))
        if skipped:
            _log.warning("%d contours are neither closed nor points and fill nothing; they are left out", skipped)
        return [_contours(roi) for roi in rois]


def _rois(dataset: Dataset) -> tuple[Roi, ...]:
    defined = items(dataset, _ROIS)
    if not defined:
        raise ReadError("a structure set defines no structures")
    ids = [_identifier(item, _NUMBER) for item in defined]
    if len(set(ids)) < len(ids):
        raise ReadError(f"{len(ids)} structures have {len(set(ids))} different numbers; they must all differ")
    drawn: dict[int, list[Dataset]] = {}
    for item in items(dataset, _ROI_CONTOURS):
        drawn.setdefault(_identifier(item, _REFERENCED_NUMBER), []).append(item)
    observed = {_identifier(item, _REFERENCED_NUMBER): item for item in items(dataset, _OBSERVATIONS)}
    if drawn.keys() - set(ids):
        _log.warning("contours of %d undefined structures are left out", len(drawn.keys() - set(ids)))
    names = _unique(text(item, _NAME)[:_LONGEST_NAME] or f"structure {n}" for n, item in zip(ids, defined, strict=True))
    return tuple(
        _roi(number, name, drawn.get(number, []), observed.get(number, Dataset()))
        for number, name in zip(ids, names, strict=True)
    )


def _identifier(item: Dataset, tag: int) -> int:
    if not numbers(item, tag):
        raise ReadError("a structure has no number")
    return integer(item, tag, 0)


def _unique(names: Iterable[str]) -> list[str]:
    """The names, with a number behind those that came before."""
    found: dict[str, None] = {}
    for name in names:
        choices = itertools.chain([name], (f"{name} {count}" for count in itertools.count(2)))
        found[next(choice for choice in choices if choice not in found)] = None
    return list(found)


def _roi(number: int, name: str, drawn: Sequence[Dataset], observed: Dataset) -> Roi:
    identification = next(iter(items(observed, _IDENTIFICATION)), Dataset())
    return Roi(
        number=number,
        name=name,
        colour=next((_colour(item) for item in drawn), None),
        code=read_code(observed, _IDENTIFICATION),
        category=read_code(observed, _CATEGORY),
        laterality=laterality_of(read_code(identification, _MODIFIER)),
        contours=tuple(contour for item in drawn for contour in items(item, _CONTOURS)),
    )


def _colour(drawn: Dataset) -> Colour | None:
    shades = numbers(drawn, _COLOUR)
    if len(shades) != 3 or not all(0 <= shade <= 255 for shade in shades):
        return None
    return int(shades[0]), int(shades[1]), int(shades[2])


def _contours(roi: Roi) -> Contours:
    kinds = [text(item, _KIND) for item in roi.contours]
    closed = [_points(item) for item, kind in zip(roi.contours, kinds, strict=True) if kind in _CLOSED]
    single = [_points(item) for item, kind in zip(roi.contours, kinds, strict=True) if kind == "POINT"]
    if any(len(points) > 1 for points in single):
        raise ReadError("a contour that is a single point has several")
    lengths = np.array([len(points) for points in closed if len(points)], dtype=np.int64)
    none = np.empty((0, 3))
    return Contours(np.concatenate([none, *closed]), lengths, np.concatenate([none, *single]))


def _raw(item: Dataset) -> bytes:
    """Contour Data as it is stored: decimal strings."""
    element = item.get_item(_DATA, keep_deferred=True)
    return bytes(element.value or b"").strip(b" \0") if element is not None else b""


def _points(item: Dataset) -> NDArray[np.float64]:
    """Points of a contour, shape ``(points, 3)``."""
    raw = _raw(item)
    try:
        values = np.fromiter(map(float, raw.split(b"\\")) if raw else (), np.float64)
    except ValueError:
        raise ReadError("contour data is not numbers") from None
    if not (np.abs(values) < _LARGEST_MM).all():
        raise ReadError(f"contour data holds a value that is not within {_LARGEST_MM:g} mm")
    said = integer(item, _COUNT, len(values) // 3)
    if len(values) != 3 * said:
        raise ReadError(f"a contour of {said} points has {len(values)} coordinates; it is cut off or damaged")
    return values.reshape(-1, 3)
