"""Outlines in a folder, by case: what `medseg predict` wrote and says of it, or files named after their cases."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from medseg.core.errors import InputError
from medseg.core.files import confined
from medseg.data.documents import read_text
from medseg.evaluation.pairs import PREDICTIONS, label_files
from medseg.io.formats import image_stem

from .stamps import Stamp, stamp

_DONE = "done"
_VOLUME = " mL"
_MAPS = ("_entropy.nii.gz", "_probabilities.nii.gz")
"""Uncertainty beside outlines, the surest first."""


@dataclass(frozen=True)
class Outline:
    """Outlines of one case.

    Attributes:
        path: A file, or a folder with one DICOM object or surfaces.
        note: What the program that made it said of it.
        volumes_ml: Of each target; empty if nobody measured.
    """

    path: Path = field(repr=False)
    note: str = ""
    volumes_ml: Mapping[str, float] = field(default_factory=dict)

    @property
    def uncertainty(self) -> Path | None:
        """The map beside it, if there is one."""
        stem = image_stem(self.path)
        beside = (self.path.with_name(stem + ending) for ending in _MAPS)
        return next((path for path in beside if path.is_file()), None)


def outlines_in(folder: Path) -> dict[str, Outline]:
    """Outlines by the names that their case goes by: in ``predictions.csv`` if it is there, else of files and folders.

    Raises:
        InputError: If the folder is not there, two files have one name, or the table names a file outside of it.
        ReadError: If the table cannot be read.
    """
    if folder.is_file():
        return {image_stem(folder): Outline(folder)}
    if not folder.is_dir():
        raise InputError("the folder of outlines is not there")
    table = folder / PREDICTIONS
    if table.is_file():
        return _listed(table)
    below = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")}
    return {name: Outline(path) for name, path in (below | label_files(folder)).items()}


def outlines_stamp(folder: Path) -> Stamp:
    """What changes when the folder or its table does."""
    return stamp((folder, folder / PREDICTIONS))


def _listed(table: Path) -> dict[str, Outline]:
    reader = csv.DictReader(io.StringIO(read_text(table)))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{table.name} is no table") from error
    if "output" not in (reader.fieldnames or ()):
        raise InputError(f"{table.name} has no column 'output'; `medseg predict` writes one")
    found: dict[str, Outline] = {}
    for row in rows:
        if not row["output"] or row.get("status", _DONE) != _DONE:
            continue
        outline = Outline(confined(table.parent, row["output"]), row.get("reason") or "", _volumes(row))
        for name in (row.get("case"), row.get("input"), image_stem(outline.path)):
            if name:
                found.setdefault(name, outline)
    return found


def _volumes(row: Mapping[str, str | None]) -> dict[str, float]:
    """Volumes in a row; cells that hold no number are passed over."""
    cells = ((column.removesuffix(_VOLUME), cell) for column, cell in row.items() if str(column).endswith(_VOLUME))
    return {target: float(cell) for target, cell in cells if _is_volume(cell)}


def _is_volume(cell: object) -> TypeGuard[str]:
    try:
        return isinstance(cell, str) and 0 <= float(cell) < float("inf")
    except ValueError:
        return False
