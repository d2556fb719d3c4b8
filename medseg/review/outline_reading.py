"""Outlines in any file, as the scheme of a case has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.core.anatomy import name_key
from medseg.core.case import CaseId
from medseg.core.errors import LabelError, MedsegError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.matching import matched, painted
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Labels, MultiLabelMap
from medseg.data.dataset import CaseFiles as DatasetCase
from medseg.data.load import load_label
from medseg.io.formats import read_label_map, read_labels
from medseg.io.label_files import OutlineKind, outline_kind, read_outlines
from medseg.io.rtstruct_items import read_rois
from medseg.io.rtstruct_read import read_structure_set

_ALL_OTHERS = ("*",)
_VALUES = 2**16
"""How many values a label map may have, background among them."""
_DEFAULT = LabelScheme.from_names({"structure 1": 1})


@dataclass(frozen=True, eq=False)
class OutlineFile:
    """Outlines, before they are read.

    Attributes:
        path: A file or folder.
        scheme: What was learned or drawn: what values mean, and its regions.
        is_predicted: Whether a model of that scheme made it, which writes a mask for each region.
        item: Whose entry it is in a file that holds those of many images; empty for other files.
    """

    path: Path = field(repr=False)
    scheme: LabelScheme
    is_predicted: bool = False
    item: str = field(default="", repr=False)


def shown_scheme(scheme: LabelScheme) -> LabelScheme:
    """The scheme without regions: each is a structure of its own, which may overlap others."""
    return LabelScheme(scheme.target_structures, overlapping=True) if scheme.regions else scheme


def empty_labels(scheme: LabelScheme, grid: Geometry) -> Labels:
    """Labels of no structure at all."""
    if scheme.overlapping:
        shape = (len(scheme.names), *grid.shape)
        return MultiLabelMap(np.zeros(shape, np.bool_), grid, scheme.names)
    return LabelMap(np.zeros(grid.shape, np.uint8 if max(scheme.values) <= 255 else np.uint16), grid)


def read_exactly(file: OutlineFile, grid: Geometry) -> Segmentation:
    """Outlines of which every value and name must be the scheme's.

    Returns:
        A label map; masks where structures really overlap, or are regions.

    Raises:
        LabelError: If they hold anything else.
        MedsegError: As ``read_outlines``.
    """
    wanted = shown_scheme(file.scheme)
    found = _stored(file, grid, wanted)
    labels = found.labels
    if isinstance(labels, LabelMap):
        return Segmentation(LabelMap(_known_values(labels.array, wanted), labels.geometry), wanted)
    return Segmentation(labels, replace(wanted, overlapping=True))


def read_to_compare(file: OutlineFile, grid: Geometry, wanted: LabelScheme) -> Segmentation:
    """Outlines as ``wanted`` has them, which has no regions: matched by name, without what has no match.

    Returns:
        A label map or masks, whichever keeps what overlaps; with the scheme ``wanted``.

    Raises:
        LabelError: If they have no structure in common with ``wanted``.
        MedsegError: As ``read_outlines``.
    """
    stored = shown_scheme(file.scheme)
    found = _stored(file, grid, replace(stored, background=_ALL_OTHERS))
    return Segmentation(_by_name(found, replace(wanted, background=_ALL_OTHERS)), wanted)


def read_unnamed(path: Path, grid: Geometry) -> Segmentation | None:
    """Outlines of which nobody says what they mean, but perhaps they themselves; None if they are an empty label map.

    Raises:
        MedsegError: As ``read_outlines``.
    """
    try:
        return read_outlines(path, grid)
    except LabelError:
        if outline_kind(path)[0] is OutlineKind.VALUES and not read_label_map(path).array.any():
            return None
        raise


def unnamed_scheme(predicted: Segmentation | None, reference: Path | None, grid: Geometry) -> LabelScheme:
    """Structures of a case that no scheme describes: what the outlines name, or one a value of either label map."""
    drawn = None
    if reference is not None:
        with contextlib.suppress(MedsegError):  # its own reading says what is wrong with it
            drawn = read_unnamed(reference, grid)
    known = [one.scheme for one in (predicted, drawn) if one is not None]
    if not known:
        return _DEFAULT
    if len(known) == 1 or any(scheme.overlapping for scheme in known):
        return known[0]
    taken = set(known[0].values)
    more = [one for one in known[1].structures if one.value not in taken and one.name not in known[0].names]
    return LabelScheme((*known[0].structures, *more))


def _stored(file: OutlineFile, grid: Geometry, shown: LabelScheme) -> Segmentation:
    """The outlines in the names and values of ``shown``, the file's scheme without regions; stray values stay."""
    if file.item or file.path.suffix.lower() == ".json":
        case = DatasetCase(CaseId("case"), {}, file.path, "", item=file.item or None)
        labels = load_label(case, file.scheme, grid)
        assert labels is not None  # noqa: S101 - the case has a label file
        return _as_targets(Segmentation(labels, file.scheme), shown)
    kind, path = outline_kind(file.path)
    if kind is OutlineKind.VALUES:
        is_one_mask = file.is_predicted and bool(file.scheme.regions) and len(file.scheme.targets) == 1
        scheme = shown if is_one_mask else file.scheme
        return _as_targets(Segmentation(read_labels(path, scheme), scheme), shown)
    return _named(kind, path, grid, file.scheme, shown)


def _as_targets(found: Segmentation, shown: LabelScheme) -> Segmentation:
    """A label map of structures as masks of the regions, if there are such."""
    labels, targets = found.labels, found.scheme.targets
    if not found.scheme.regions or (isinstance(labels, MultiLabelMap) and labels.structures == targets):
        return Segmentation(labels, shown)
    masks = np.stack([found.scheme.mask(labels, target) for target in targets])
    return Segmentation(MultiLabelMap(masks, labels.geometry, targets), shown)


def _named(kind: OutlineKind, path: Path, grid: Geometry, scheme: LabelScheme, shown: LabelScheme) -> Segmentation:
    """Outlines that name their structures: those of the scheme, or of its regions."""
    if kind is OutlineKind.STRUCTURE_SET:
        names = [roi.name for roi in read_rois(path)]
        by = _speaks_of(names, scheme, shown)
        found = read_structure_set(path, grid, tuple(matched(names, by)) or tuple(names))
    else:
        found = read_outlines(path, grid)
        by = _speaks_of(found.scheme.names, scheme, shown)
    if kind is OutlineKind.SLICER and not _keys(found.scheme.names) & _keys(by.names):
        return _as_targets(Segmentation(read_labels(path, scheme), scheme), shown)  # nobody named its segments
    return _as_targets(Segmentation(_by_name(found, by), by), shown)


def _speaks_of(names: Iterable[str], scheme: LabelScheme, shown: LabelScheme) -> LabelScheme:
    """Whether names are those of regions or of the structures in them: what more of them are; regions, if both fit."""
    keys = _keys(names)
    if len(keys & _keys(shown.names)) >= len(keys & _keys(scheme.names)):
        return shown
    return replace(scheme, background=shown.background)


def _keys(names: Iterable[str]) -> set[tuple[str, str]]:
    return {name_key(name) for name in names}


def _by_name(found: Segmentation, wanted: LabelScheme) -> Labels:
    """The labels in the values of another scheme; masks stay masks."""
    labels, names = found.labels, matched(found.scheme.names, wanted)
    if not names:
        raise LabelError(f"the outlines hold none of the structures {', '.join(wanted.names)}; rename theirs")
    if isinstance(labels, LabelMap) and not wanted.overlapping:
        values = {found.scheme[name].value: wanted[structure].value for name, structure in names.items()}
        return LabelMap(_replaced(labels.array, values), labels.geometry)
    masks = [(names[one], found.scheme.mask(labels, one)) for one in found.scheme.names if one in names]
    return painted(masks, replace(wanted, overlapping=True, regions=()), labels.geometry)


def _known_values(array: NDArray[np.integer], scheme: LabelScheme) -> NDArray[np.integer]:
    """The array, of whose values each is a structure's; what is to be ignored becomes background.

    Raises:
        LabelError: If another value is in it.
    """
    kept = _replaced(array, {value: value for value in scheme.values})
    for plane, known in zip(array.T, kept.T, strict=True):
        odd = plane[(known != plane) & (plane != (scheme.ignore or 0))]
        if odd.size:
            named = ", ".join(f"{one.name} {one.value}" for one in scheme.structures)
            raise LabelError(f"the outlines hold the value {odd[0]}, the labels are {named}; name it in labels.json")
    return kept


def _replaced(array: NDArray[np.integer], values: Mapping[int, int]) -> NDArray[np.integer]:
    """The array with each value replaced, 0 where the table has none; goes plane by plane."""
    table = np.zeros(_VALUES + 1, np.uint8 if max(values.values()) <= 255 else np.uint16)
    table[list(values)] = list(values.values())
    is_index = array.dtype.kind == "u" and array.dtype.itemsize <= 2
    replaced = np.empty_like(array, dtype=table.dtype)
    for plane, out in zip(array.T, replaced.T, strict=True):
        out[...] = table[plane if is_index else np.clip(plane.astype(np.int64), -1, _VALUES)]
    return replaced
