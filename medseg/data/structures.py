"""Label schemes as data sets give them: by name and value in a JSON file, or as the values found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt

from medseg.config.schemes import coded_concept
from medseg.config.sections import Byte, CodeSection
from medseg.core.anatomy import colours_of, described, name_key
from medseg.core.errors import LabelError, MedsegError
from medseg.core.labels import LabelScheme, Laterality, Region, Structure
from medseg.io.formats import read_label_map
from medseg.io.label_files import named_structures

from .documents import parse_document, read_json

LABELS_FILE = "labels.json"
_IGNORE = "ignore"
_MOST_STRUCTURES = 254
"""Class indices are bytes: background, the structures, and 255 for voxels to ignore."""


class LabelEntry(BaseModel):
    """A structure in a labels file that says more than its value; the rest is as in a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: PositiveInt
    colour: tuple[Byte, Byte, Byte] | None = None
    code: CodeSection | None = None
    category: CodeSection | None = None
    laterality: Laterality | None = None


class LabelsDocument(BaseModel):
    """The names in a labels file."""

    labels: dict[str, int | tuple[int, ...] | LabelEntry]


Values = Mapping[str, int | tuple[int, ...] | LabelEntry]


def scheme_from_values(
    values: Values, name: str, ignore: int | None = None, *, overlapping: bool = False
) -> LabelScheme:
    """Scheme from ``{name: value}``, or ``{name: [value, ...]}`` for regions.

    The value 0 is the background; its names say which contours and segments to leave out, ``*`` all that are not named.
    The name ``ignore`` marks the value that is to be ignored. If any entry is a list, all are regions, as nnU-Net has
    it, over structures named ``label 1``, ``label 2``, …. What an entry does not say of colour, code and side comes
    from the dictionary of structures, colours else from the palette.

    Args:
        values: By name.
        name: The file that says so, for messages.
        ignore: The value to be ignored, if ``values`` does not name it.
        overlapping: Whether label files hold one mask a structure.

    Raises:
        LabelError: If there is no structure, or a value is doubled or negative.
    """
    rest = dict(values)
    marked = rest.pop(_IGNORE, () if ignore is None else (ignore,))
    foreground = {key: value for key, value in rest.items() if value not in (0, (0,))}
    background = tuple(key for key in rest if key not in foreground and key.lower() != "background")
    try:
        ignored = _ignored(marked)
        if any(isinstance(value, tuple) for value in values.values()):
            return LabelScheme(*_regions(foreground), ignored, overlapping, background)
        entries = {key: _entry(value) for key, value in foreground.items()}
        return LabelScheme(_structures(entries), (), ignored, overlapping, background)
    except LabelError as error:
        raise LabelError(f"{name}: {error}") from error


def scheme_beside(folder: Path, labels: Iterable[Path], ignore: int | None = None) -> LabelScheme | None:
    """The scheme in ``labels.json``; without that file, one structure for each name or value in the labels.

    Args:
        folder: Where ``labels.json`` may lie.
        labels: Label maps, or files that name their structures, such as DICOM segmentations and structure sets.
        ignore: The value to be ignored, if the file does not name one.

    Returns:
        The scheme, with structures named ``structure 1``, ``structure 2``, … after their values if nothing names them;
        names that differ only in writing are one structure. None if there are no labels. Labels that cannot be read
        are passed over: ``check_dataset`` reports them.

    Raises:
        LabelError: If the file is not sound, some labels name structures and others have values only, or there is no
            structure or too many.
    """
    paths = list(labels)
    file = folder / LABELS_FILE
    if file.exists():
        values = parse_document({"labels": read_json(file)}, LabelsDocument, file.name).labels
        return scheme_from_values(values, file.name, ignore)
    if not paths:
        return None
    named = _named_in(paths)
    if named:
        return LabelScheme(named, ignore=ignore)
    found = sorted(_values_in(paths) - {0, ignore})
    if not found or found[0] < 0:
        got = f"the value {found[0]}" if found else "no value"
        raise LabelError(
            f"the label maps hold {got} besides 0; write {LABELS_FILE} as {{name: value}} to say what counts"
        )
    return scheme_from_values({f"structure {value}": value for value in found}, "the label maps", ignore)


def present_values(array: NDArray[np.integer]) -> set[int]:
    """The values in a label map; goes slice by slice, so that no sorted copy of all voxels is made."""
    present: set[int] = set()
    for part in array.T if array.flags.f_contiguous else array:
        present.update(np.unique(part).tolist())
    return present


def _ignored(marked: int | tuple[int, ...] | LabelEntry) -> int | None:
    values = marked if isinstance(marked, tuple) else (marked if isinstance(marked, int) else marked.value,)
    if len(values) > 1:
        raise LabelError(f"the ignore value must be one number, got {list(values)}")
    return values[0] if values else None


def _entry(value: int | tuple[int, ...] | LabelEntry) -> LabelEntry:
    """An entry of a file without regions."""
    assert not isinstance(value, tuple)  # noqa: S101 - those are regions
    return LabelEntry.model_construct(value=value) if isinstance(value, int) else value


def _structures(entries: Mapping[str, LabelEntry]) -> tuple[Structure, ...]:
    if len(entries) > _MOST_STRUCTURES:
        raise LabelError(f"{len(entries)} structures; at most {_MOST_STRUCTURES} are possible")
    colours = colours_of(list(entries), [one.colour for one in entries.values()])
    return tuple(
        described(
            Structure(name, one.value, colour, coded_concept(one.code), coded_concept(one.category), one.laterality)
        )
        for (name, one), colour in zip(entries.items(), colours, strict=True)
    )


def _regions(
    values: Mapping[str, int | tuple[int, ...] | LabelEntry],
) -> tuple[tuple[Structure, ...], tuple[Region, ...]]:
    if any(isinstance(value, LabelEntry) for value in values.values()):
        raise LabelError("lists of values (regions) and entries with a colour or code do not go together")
    members = {
        name: (value,) if isinstance(value, int) else value
        for name, value in values.items()
        if not isinstance(value, LabelEntry)
    }
    names = {value: f"label {value}" for value in sorted({one for row in members.values() for one in row})}
    regions = tuple(described(Region(name, tuple(names[one] for one in row))) for name, row in members.items())
    return _structures({name: LabelEntry.model_construct(value=value) for value, name in names.items()}), regions


def _named_in(paths: Sequence[Path]) -> tuple[Structure, ...]:
    """The structures that the labels name, as the first that has each describes it, with the values 1, 2, …."""
    found: dict[tuple[str, str], Structure] = {}
    unnamed = 0
    for path in paths:
        try:
            structures = named_structures(path)
        except MedsegError:
            continue
        unnamed += structures is None
        for one in structures or ():
            found.setdefault(name_key(one.name), one)
    if found and unnamed:
        raise LabelError(
            f"{unnamed} of {len(paths)} labels hold values without names, the others name their structures; write "
            f"{LABELS_FILE} as {{name: value}} to say which is which"
        )
    if len(found) > _MOST_STRUCTURES:
        raise LabelError(f"{len(found)} structures; at most {_MOST_STRUCTURES} are possible")
    return tuple(described(replace(one, value=value)) for value, one in enumerate(found.values(), start=1))


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
