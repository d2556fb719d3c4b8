"""Label schemes as data sets give them: by name and value in a JSON file, or as the values found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from medseg.core.errors import LabelError, MedsegError
from medseg.core.labels import LabelScheme, Region, Structure, palette_colour
from medseg.io.formats import read_label_map

from .documents import parse_document, read_json

LABELS_FILE = "labels.json"
_IGNORE = "ignore"
_MOST_STRUCTURES = 254
"""Class indices are bytes: background, the structures, and 255 for voxels to ignore."""

Values = Mapping[str, int | tuple[int, ...]]


def scheme_from_values(
    values: Values, name: str, ignore: int | None = None, *, overlapping: bool = False
) -> LabelScheme:
    """Scheme from ``{name: value}``, or ``{name: [value, ...]}`` for regions.

    The value 0 is the background and skipped; the name ``ignore`` marks the value that is to be ignored. If any entry
    is a list, all are regions, as nnU-Net has it, over structures named ``label 1``, ``label 2``, ….

    Args:
        values: By name.
        name: The file that says so, for messages.
        ignore: The value to be ignored, if ``values`` does not name it.
        overlapping: Whether label files hold one mask a structure.

    Raises:
        LabelError: If there is no structure, or a value is doubled or negative.
    """
    has_regions = any(isinstance(value, tuple) for value in values.values())
    members = {key: (value,) if isinstance(value, int) else value for key, value in values.items()}
    marked = members.pop(_IGNORE, () if ignore is None else (ignore,))
    foreground = {key: value for key, value in members.items() if value != (0,)}
    try:
        ignored = _ignored(marked)
        if has_regions:
            return LabelScheme(*_regions(foreground), ignored)
        return LabelScheme(
            _structures({key: value for key, (value,) in foreground.items()}), ignore=ignored, overlapping=overlapping
        )
    except LabelError as error:
        raise LabelError(f"{name}: {error}") from error


def scheme_beside(folder: Path, labels: Iterable[Path]) -> LabelScheme | None:
    """The scheme in ``labels.json``; without that file, one structure for each value in the label maps.

    Returns:
        The scheme, with structures named ``structure 1``, ``structure 2``, … after their values if no file names them;
        None if there is no label map. Label maps that cannot be read are passed over: ``check_dataset`` reports them.

    Raises:
        LabelError: If the file is not sound, or the label maps hold no structure or too many.
    """
    paths = list(labels)
    file = folder / LABELS_FILE
    if file.exists():
        values = parse_document({"labels": read_json(file)}, _LabelsDocument, file.name).labels
        return scheme_from_values(values, file.name)
    if not paths:
        return None
    found = sorted(_values_in(paths) - {0})
    if not found or found[0] < 0:
        got = f"the value {found[0]}" if found else "no value"
        raise LabelError(
            f"the label maps hold {got} besides 0; write {LABELS_FILE} as {{name: value}} to say what counts"
        )
    return scheme_from_values({f"structure {value}": value for value in found}, "the label maps")


def present_values(array: NDArray[np.integer]) -> set[int]:
    """The values in a label map; goes slice by slice, so that no sorted copy of all voxels is made."""
    present: set[int] = set()
    for part in array.T if array.flags.f_contiguous else array:
        present.update(np.unique(part).tolist())
    return present


class _LabelsDocument(BaseModel):
    labels: dict[str, int | tuple[int, ...]]


def _ignored(marked: tuple[int, ...]) -> int | None:
    if len(marked) > 1:
        raise LabelError(f"the ignore value must be one number, got {list(marked)}")
    return marked[0] if marked else None


def _structures(values: Mapping[str, int]) -> tuple[Structure, ...]:
    if len(values) > _MOST_STRUCTURES:
        raise LabelError(f"{len(values)} structures; at most {_MOST_STRUCTURES} are possible")
    return tuple(Structure(name, value, palette_colour(n)) for n, (name, value) in enumerate(values.items()))


def _regions(values: Mapping[str, tuple[int, ...]]) -> tuple[tuple[Structure, ...], tuple[Region, ...]]:
    names = {value: f"label {value}" for value in sorted({one for members in values.values() for one in members})}
    regions = tuple(Region(name, tuple(names[one] for one in members)) for name, members in values.items())
    return _structures({name: value for value, name in names.items()}), regions


def _values_in(paths: Sequence[Path]) -> set[int]:
    values: set[int] = set()
    errors: list[MedsegError] = []
    for path in paths:
        try:
            values |= present_values(read_label_map(path).array)
        except MedsegError as error:
            errors.append(error)
    if len(errors) == len(paths):
        raise errors[0]
    return values
