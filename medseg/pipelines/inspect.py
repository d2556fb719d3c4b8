"""``medseg inspect``: what lies at a path, what of it is usable, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import InputError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import Volume
from medseg.data.check import Severity, Survey, survey
from medseg.data.dataset import Dataset
from medseg.data.layouts import find_layout, open_dataset
from medseg.deid.descriptors import Vocabulary
from medseg.io.formats import Format, read_volume, sniff
from medseg.io.studies import Inventory, Series, find_series

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class DatasetInspection:
    """A data set and what reading all of it told."""

    dataset: Dataset
    survey: Survey

    @property
    def title(self) -> str:
        """One line about the whole."""
        return f"data set {self.dataset.name!r}"

    @property
    def has_errors(self) -> bool:
        """Whether something must be mended before a training."""
        return any(finding.severity is Severity.ERROR for finding in self.survey.findings)

    def rows(self) -> list[Row]:
        """Facts, then findings; each row has the keys ``about``, ``case`` and ``value``."""
        dataset, grids = self.dataset, list(self.survey.grids.values())
        facts: list[tuple[str, object]] = [
            ("cases", len(dataset.cases)),
            ("with label", len(dataset.labelled)),
            ("patients", len({case.patient for case in dataset.cases})),
            ("channels", ", ".join(dataset.channels)),
            *(("structure", f"{name}: in {count} cases") for name, count in self.survey.occurrences.items()),
        ]
        if grids:
            units = sorted({grid.unit.value for grid in grids})
            facts.append(("shape (R, A, S)", _range([grid.shape for grid in grids])))
            facts.append((f"spacing (R, A, S), {' or '.join(units)}", _range([grid.spacing for grid in grids])))
        rows: list[Row] = [{"about": about, "case": None, "value": value} for about, value in facts]
        found = self.survey.findings
        return rows + [{"about": one.severity.value, "case": one.case, "value": one.message} for one in found]


@dataclass(frozen=True, eq=False)
class StudyInspection:
    """The DICOM series below a folder."""

    inventory: Inventory

    @property
    def title(self) -> str:
        """One line about the whole."""
        found = self.inventory
        usable = sum(series.problem is None for series in found.series)
        rest = f"{found.other_files} other files, {found.unreadable} unreadable"
        return f"{len(found.series)} DICOM series, {usable} usable, {rest}"

    @property
    def has_errors(self) -> bool:
        """Whether no series is usable."""
        return all(series.problem is not None for series in self.inventory.series)

    def rows(self) -> list[Row]:
        """One row a series; patients and studies are numbered, not named."""
        patients = _numbers(series.patient for series in self.inventory.series)
        studies = _numbers(series.study_uid for series in self.inventory.series)
        return [
            {"patient": patients[series.patient], "study": studies[series.study_uid], "series": number}
            | _series_row(series)
            for number, series in enumerate(self.inventory.series, start=1)
        ]


@dataclass(frozen=True, eq=False)
class FileInspection:
    """One image."""

    format: Format
    volume: Volume

    @property
    def title(self) -> str:
        """One line about the whole."""
        return f"one image, {self.format.value}"

    @property
    def has_errors(self) -> bool:
        """Never: a damaged file is an error of its own."""
        return False

    def rows(self) -> list[Row]:
        """The grid, and the range of each channel; each row has the keys ``about`` and ``value``."""
        geometry = self.volume.geometry
        facts = {
            "shape": _times(geometry.shape),
            f"spacing, {geometry.unit.value}": _times(geometry.spacing),
            "orientation": geometry.axis_codes,
            "origin (R, A, S)": ", ".join(f"{value:.6g}" for value in geometry.affine[:3, 3]),
            "type": self.volume.array.dtype.name,
        }
        for name, array in zip(self.volume.channels, self.volume.array, strict=True):
            facts[f"channel {name}"] = _values(array)
        return [{"about": about, "value": value} for about, value in facts.items()]


Inspection = DatasetInspection | StudyInspection | FileInspection


def inspect(path: Path, progress: Progress = SILENT) -> Inspection:
    """Look at a data set, a folder of DICOM files or one image.

    Args:
        path: A data set as ``open_dataset`` takes it, a folder or file with DICOM in it, or an image file.
        progress: Told of each case or file.

    Raises:
        InputError: If nothing is there, or nothing that medseg knows.
        DataError: If a single image cannot be read, or the description of a data set is damaged.
    """
    if find_layout(path) is not None or path.suffix.lower() in (".csv", ".json"):
        dataset = open_dataset(path)
        return DatasetInspection(dataset, survey(dataset, progress))
    image_format = sniff(path)
    if image_format is not Format.DICOM:
        return FileInspection(image_format, read_volume(path))
    inventory = find_series(path, progress)
    progress.finish()
    if not inventory.series:
        raise InputError(
            f"{str(path)!r} holds no DICOM images and is no data set "
            "(dataset.json, manifest.csv, manifest.json, or folders images/ and labels/)"
        )
    return StudyInspection(inventory)


def _series_row(series: Series) -> Row:
    geometry: Geometry | None = series.geometry
    return {
        "modality": series.modality,
        "description": _known_words(series.description),
        "body part": _known_words(series.body_part),
        "files": len(series.files),
        "size": _times((series.columns, series.rows, series.frames)),
        f"spacing, {LengthUnit.MM.value}": _times(geometry.spacing) if geometry else None,
        "usable": series.problem or "yes",
    }


def _known_words(text: str) -> str | None:
    """What may be shown of a free text, in which a site may have typed a name."""
    return Vocabulary.load(()).clean(text) or None


def _values(array: NDArray[np.generic]) -> str:
    finite = array[np.isfinite(array)]
    return f"{finite.min():g} to {finite.max():g}" if finite.size else "no finite value"


def _numbers(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}


def _times(values: Iterable[float]) -> str:
    return "x".join(f"{value:.4g}" for value in values)


def _range(rows: list[tuple[int, int, int]] | list[tuple[float, float, float]]) -> str:
    low, high = np.min(rows, axis=0), np.max(rows, axis=0)
    return _times(low) if np.allclose(low, high) else f"{_times(low)} to {_times(high)}"
