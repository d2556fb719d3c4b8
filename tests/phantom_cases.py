"""Phantoms to review in a browser: a DICOM series and NIfTI images, with predictions that err in known places."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom

from medseg.config.review import FolderSource, ReviewConfig
from medseg.core.case import Case
from medseg.core.pseudonyms import ProjectKey, load_key
from medseg.core.volume import LabelMap
from medseg.deid.names import SERIES, name_of
from medseg.io.formats import write_label_map, write_volume
from medseg.phantom.bodies import TORSO, torso
from medseg.phantom.instances import SeriesHeader, StudyHeader, random_uid, write_series
from medseg.phantom.people import Person, Visit
from medseg.review.records import CaseName

LIVER, SPLEEN = TORSO["liver"].value, TORSO["spleen"].value
MARKUP = "<img src=x onerror=alert(1)>"
"""Part of the patient's name in the DICOM series, and of a note about its prediction."""
_SHAPE, _SPACING = (64, 64, 36), (6.0, 6.0, 6.5)


@dataclass(frozen=True, eq=False)
class Phantom:
    """A case as it was written.

    Attributes:
        name: Its pseudonym.
        predicted: What its prediction says: the truth without the upper half of the liver.
        truth: Its reference.
    """

    name: CaseName
    predicted: LabelMap
    truth: LabelMap


@dataclass(frozen=True, eq=False)
class Phantoms:
    """What was written, the DICOM series first, and how the app shows it."""

    cases: Sequence[Phantom]
    config: ReviewConfig


def write_phantoms(folder: Path, files: Sequence[str] = ("two",)) -> Phantoms:
    """Write a DICOM series, and a NIfTI image for each of ``files``; with predictions and references of all."""
    paths = {name: folder / name for name in ("images", "predictions", "reference")}
    key = load_key(folder / "project.key")
    bodies = [torso(seed, _SHAPE, _SPACING) for seed in range(len(files) + 1)]
    names = [_write_dicom(paths["images"] / "study", bodies[0], key), *(key.name("case", file) for file in files)]
    for file, body in zip(files, bodies[1:], strict=True):
        write_volume(paths["images"] / f"{file}.nii.gz", body.image)
    stems = [names[0], *files]
    cases = [_write_outlines(folder, *one) for one in zip(stems, map(CaseName, names), bodies, strict=True)]
    _write_table(paths["predictions"], stems)
    (folder / "labels.json").write_text(json.dumps({one.name: one.value for one in TORSO.structures}), encoding="utf-8")
    source = FolderSource(kind="folder", labels=folder / "labels.json", **paths)
    config = ReviewConfig(
        folder=folder / "review", key=folder / "project.key", sources=(source,), show_identifiers=True
    )
    return Phantoms(cases, config)


def _write_dicom(folder: Path, body: Case, key: ProjectKey) -> str:
    """The body as a series of a patient whose name is markup; the pseudonym of the series."""
    rng = np.random.default_rng(7)
    person = replace(Person.draw(rng, "F"), name=f"Doe^{MARKUP}")
    study = StudyHeader(Visit.draw(rng, person), random_uid(rng), random_uid(rng))
    write_series(folder, [body.image], study, SeriesHeader(1, "Abdomen", "AXIAL"), rng)
    header = pydicom.dcmread(next(folder.iterdir()), specific_tags=["SeriesInstanceUID"])
    return name_of(key, SERIES, header.SeriesInstanceUID)


def _write_outlines(folder: Path, stem: str, name: CaseName, body: Case) -> Phantom:
    truth = LabelMap(body.label.array, body.label.geometry)
    labels = truth.array.copy()
    slices = np.flatnonzero((labels == LIVER).any(axis=(0, 1)))
    upper = labels[..., slices[slices.size // 2] :]
    upper[upper == LIVER] = 0
    predicted = LabelMap(labels, truth.geometry)
    write_label_map(folder / "predictions" / f"{stem}.nii.gz", predicted)
    write_label_map(folder / "reference" / f"{stem}.nii.gz", truth)
    return Phantom(name, predicted, truth)


def _write_table(folder: Path, stems: Sequence[str]) -> None:
    """As `medseg predict` writes it; with a note about the first case, which puts it on top of the work list."""
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["case", "input", "status", "reason", "output"])
        for number, stem in enumerate(stems):
            rows.writerow([stem, stem, "done", "" if number else f"look at {MARKUP}", f"{stem}.nii.gz"])
