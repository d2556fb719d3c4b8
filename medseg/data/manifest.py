"""Manifests: a CSV table or a JSON file that names the files of each case, its patient and its attributes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from medseg.core.case import CaseId
from medseg.core.errors import InputError, ReadError
from medseg.core.files import confined, safe_name
from medseg.core.labels import LabelScheme

from .dataset import CaseFiles, Dataset, ImageFile
from .documents import parse_document, read_json, read_text
from .images import channels_of, patient_of, whole_file
from .structures import LabelEntry, scheme_beside, scheme_from_values

_IMAGE = "image"
_OWN_COLUMNS = ("case", "patient", "split", "label")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    id: str
    images: dict[str, str]
    label: str | None = None
    patient: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    attributes: dict[str, str] = {}


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = ""
    labels: dict[str, int | tuple[int, ...] | LabelEntry] | None = None
    ignore: int | None = None
    overlapping: bool = False
    cases: list[_Row]


def open_manifest(path: Path, scheme: LabelScheme | None) -> Dataset:
    """The cases that a manifest lists.

    A CSV table has the columns ``case``, ``image.CHANNEL`` for each channel (or ``image`` for files that hold all
    channels), and if there are such ``label``, ``patient``, ``split`` (``train``, ``validation``, ``test``); any other
    column is an attribute. ``labels.json`` beside it names the label values, as for folder pairs. A JSON manifest is
    ``{"labels": {name: value}, "cases": [{"id", "images": {channel: path}, "label", "patient", "split",
    "attributes"}]}``, with ``"ignore"`` and ``"overlapping"`` if wanted.

    An image is a file or the folder of a DICOM series; a case may lack channels, but not all of them. Paths are
    relative to the manifest's folder and must stay below it; an absolute path is taken only if it lies there, so that a
    manifest from elsewhere cannot reach other files. Whether the files exist is not asked here: ``check_dataset`` tells
    of all that are missing.

    Args:
        path: The ``.csv`` or ``.json`` file.
        scheme: Structures instead of the manifest's.

    Raises:
        ReadError: If a column or key is missing or not sound.
        InputError: If a path leaves the folder, a case name is no file name, or a case has no image.
        LabelError: If the labels are not sound.
    """
    is_table = path.suffix.lower() == ".csv"
    listed = parse_document(_table(path) if is_table else read_json(path), _Manifest, path.name)
    folder = path.parent
    channels = _channels(folder, listed.cases, path.name)
    cases = tuple(_case(folder, row, channels, path.name) for row in listed.cases)
    name = listed.name or folder.resolve().name
    return Dataset(name, folder, channels, scheme or _scheme(path, listed, cases), cases)


def _scheme(path: Path, listed: _Manifest, cases: Sequence[CaseFiles]) -> LabelScheme | None:
    """The structures that a manifest names, or ``labels.json`` beside it, or the labels themselves."""
    if listed.labels is not None:
        return scheme_from_values(listed.labels, path.name, listed.ignore, overlapping=listed.overlapping)
    labels = [case.label for case in cases if case.label is not None]
    found = scheme_beside(path.parent, labels, listed.ignore)
    return replace(found, overlapping=True) if found is not None and listed.overlapping else found


def _table(path: Path) -> dict[str, Any]:
    """The rows of a CSV table in the shape of a JSON manifest."""
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    try:
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise ReadError(f"{path.name}: not a valid CSV table at line {reader.line_num}") from error
    columns = [name.strip() for name in lines[0][1]] if lines else []
    _check_columns(columns, path.name)
    cases = []
    for number, line in lines[1:]:
        if len(line) != len(columns):
            raise ReadError(f"{path.name}: line {number} has {len(line)} cells, the header has {len(columns)}")
        cases.append(_row({name: cell.strip() for name, cell in zip(columns, line, strict=True) if cell.strip()}))
    return {"cases": cases}


def _check_columns(columns: list[str], name: str) -> None:
    has_image = any(column == _IMAGE or column.startswith(f"{_IMAGE}.") for column in columns)
    for missing in (["case"] if "case" not in columns else []) + ([] if has_image else ["image.CHANNEL"]):
        raise ReadError(f"{name}: no column {missing!r}; the columns are {', '.join(columns) or 'missing'}")
    if len(set(columns)) != len(columns):
        doubled = next(column for column in columns if columns.count(column) > 1)
        raise ReadError(f"{name}: several columns are named {doubled!r}")


def _row(cells: Mapping[str, str]) -> dict[str, Any]:
    images = {column: cell for column, cell in cells.items() if column.partition(".")[0] == _IMAGE}
    row: dict[str, Any] = {name: cells[name] for name in _OWN_COLUMNS[1:] if name in cells}
    row["id"] = cells.get("case", "")
    row["images"] = {column.partition(".")[2] or _IMAGE: cell for column, cell in images.items()}
    row["attributes"] = {name: cell for name, cell in cells.items() if name not in (*_OWN_COLUMNS, *images)}
    return row


def _channels(folder: Path, rows: list[_Row], name: str) -> tuple[str, ...]:
    """The channels of all cases, in the order of the case that has the most."""
    empty = next((row.id for row in rows if not row.images), None)
    if empty is not None:
        raise InputError(f"{name}: case {empty!r} has no image")
    fullest_first = sorted(rows, key=lambda row: -len(row.images))
    channels = tuple(dict.fromkeys(channel for row in fullest_first for channel in row.images))
    if channels == (_IMAGE,):
        return channels_of(_confined(folder, row.images[_IMAGE]) for row in rows)
    if _IMAGE in channels:
        raise InputError(f"{name}: some cases have one image of all channels, others an image a channel")
    return channels


def _case(folder: Path, row: _Row, channels: tuple[str, ...], name: str) -> CaseFiles:
    if safe_name(row.id) != row.id:
        raise InputError(f"{name}: case {row.id!r} does not serve as a file name; use letters, digits, . _ + -")
    if set(row.images) == {_IMAGE}:
        images = whole_file(_confined(folder, row.images[_IMAGE]), channels)
    else:
        images = {one: ImageFile(_confined(folder, row.images[one])) for one in channels if one in row.images}
    label = None if row.label is None else _confined(folder, row.label)
    patient = row.patient or patient_of(next(iter(images.values())).path, row.id)
    return CaseFiles(CaseId(row.id), images, label, patient, row.attributes, row.split)


def _confined(folder: Path, named: str) -> Path:
    path = Path(named)
    if path.is_absolute() and path.is_relative_to(folder.resolve()):
        path = path.relative_to(folder.resolve())
    return confined(folder, path)
