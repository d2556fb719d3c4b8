"""A cohort of invented patients as DICOM studies, with label maps and a manifest."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from medseg.core.files import atomic_folder
from medseg.core.geometry import Geometry
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import LabelMap, Volume
from medseg.io.formats import write_label_map

from .anatomy import Anatomy, draw_anatomy
from .bodies import TORSO, Exposure, axial_grid, take_ct
from .instances import SeriesHeader, StudyHeader, random_uid, write_series
from .people import Person, Visit

MANIFEST_COLUMNS = ("case", "patient", "split", "label", "image.CT", "sex", "age", "scanner")

_AXIAL = SeriesHeader(2, "Abdomen venous", "AXIAL")
_SCOUT = SeriesHeader(1, "Scout", "LOCALIZER")
_SCOUT_VIEWS = ("LIA", "PIL")
_SCOUT_SHARE = 0.4
_CASES_PER_SECOND_VISIT = 8
_PATIENT_STREAM, _CASE_STREAM, _SPLIT_STREAM = range(3)
_IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber", "ReferringPhysicianName",
    "InstitutionName", "DeviceSerialNumber", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
    "FrameOfReferenceUID",
)  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """How the cohort's scanners take and store images.

    Attributes:
        matrix: Rows and columns of a slice; the field of view follows the patient, 310 to 440 mm or so.
        slice_mm: Smallest and largest distance between slices.
        coverage_mm: Shortest and longest extent along the body.
    """

    matrix: int = 96
    slice_mm: tuple[float, float] = (3.0, 5.0)
    coverage_mm: tuple[float, float] = (195.0, 220.0)


def write_cohort(
    folder: Path, cases: int = 24, seed: int = 0, protocol: Protocol = Protocol(), progress: Progress = SILENT
) -> Path:
    """Write CT studies of invented patients, replacing the folder.

    ``studies/<study>/ct`` holds one axial series each, some studies have a localizer beside it; ``labels`` holds a
    label map a case and ``labels.json`` beside ``manifest.csv`` says what its values mean. Every eighth case is a
    second visit of a patient. The headers hold invented names, numbers and dates; folders and the manifest do not.

    Args:
        folder: Made or replaced as a whole.
        cases: How many.
        seed: The same seed gives the same files, bit by bit.
        protocol: Image size and spacing.
        progress: Advances by one a case.

    Returns:
        Path of the manifest.

    Raises:
        OutputError: If the folder cannot be written.
    """
    progress.start("writing phantom studies", cases)
    patients = cases - cases // _CASES_PER_SECOND_VISIT
    splits = _splits(patients, _rng(seed, _SPLIT_STREAM))
    with atomic_folder(folder) as partial:
        rows = []
        for number in range(cases):
            rows.append(_write_case(partial, seed, number, number % patients, protocol))
            progress.advance()
        _write_manifest(partial, [{**row, "split": splits[n % patients]} for n, row in enumerate(rows)])
    progress.finish()
    return folder / "manifest.csv"


def planted_identifiers(folder: Path) -> frozenset[str]:
    """Every identifier in the headers of a cohort: what must not appear in any log, message or result.

    Names also come in their parts and dates also as ``YYYY-MM-DD``.
    """
    found: set[str] = set()
    for path in sorted((folder / "studies").rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_IDENTIFYING))
        for keyword in _IDENTIFYING:
            found.update(_spellings(str(header.get(keyword, "")), keyword))
    return frozenset(found - {""})


def _spellings(value: str, keyword: str) -> set[str]:
    if keyword.endswith("Name"):
        return {value, *value.split("^")}
    if keyword.endswith("Date"):
        return {value, f"{value[:4]}-{value[4:6]}-{value[6:]}"}
    return {value}


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng((seed, *stream))


def _splits(patients: int, rng: np.random.Generator) -> list[str]:
    """A part for each patient: a sixth validates, a sixth tests; fewer than three patients all train."""
    share = max(1, round(patients / 6)) if patients >= 3 else 0
    parts = ["test"] * share + ["validation"] * share + ["train"] * (patients - 2 * share)
    return [parts[index] for index in rng.permutation(patients)]


def _write_case(folder: Path, seed: int, number: int, patient: int, protocol: Protocol) -> dict[str, str]:
    patient_rng, rng = _rng(seed, _PATIENT_STREAM, patient), _rng(seed, _CASE_STREAM, number)
    person = Person.draw(patient_rng, "FM"[patient % 2])
    visit = Visit.draw(rng, person)
    image, label = _examine(draw_anatomy(patient_rng, person.scale), protocol, rng)
    case = f"torso-{number + 1:03d}"
    study_name = f"studies/study-{rng.bytes(4).hex()}"
    study = StudyHeader(visit, random_uid(rng), random_uid(rng))
    write_series(folder / study_name / "ct", [image], study, _AXIAL, rng)
    if rng.random() < _SCOUT_SHARE:
        views = [_projection(image, codes) for codes in _SCOUT_VIEWS][: int(rng.integers(1, 3))]
        write_series(folder / study_name / "localizer", views, study, _SCOUT, rng)
    write_label_map(folder / "labels" / f"{case}.nii.gz", label)
    return {
        "case": case,
        "patient": f"patient-{patient + 1:03d}",
        "label": f"labels/{case}.nii.gz",
        "image.CT": f"{study_name}/ct",
        "sex": person.sex,
        "age": str(visit.age),
        "scanner": visit.scanner.manufacturer,
    }


def _examine(anatomy: Anatomy, protocol: Protocol, rng: np.random.Generator) -> tuple[Volume, LabelMap]:
    """An examination with its own field of view, slice distance and place in the scanner's frame of reference."""
    pixel = round(2 * anatomy.half_width * rng.uniform(1.06, 1.18) / protocol.matrix, 4)
    step = round(float(rng.uniform(*protocol.slice_mm)) * 4) / 4
    slices = max(4, round(rng.uniform(*protocol.coverage_mm) / step))
    middle = (float(rng.normal(0, 5)), float(rng.normal(-8, 5)), float(rng.normal(0, 6)))
    grid = axial_grid((protocol.matrix, protocol.matrix, slices), (pixel, pixel, step), middle)
    image, label = take_ct(anatomy, grid, Exposure.draw(rng), rng)
    placed = _moved(grid, (rng.normal(0, 10), rng.normal(-150, 20), rng.uniform(-1500, -400)))
    return Volume(image.array, placed, image.channels), LabelMap(label.array, placed)


def _moved(grid: Geometry, shift: tuple[float, float, float]) -> Geometry:
    affine = grid.affine.copy()
    affine[:3, 3] = np.round(affine[:3, 3] + shift, 3)
    return Geometry(grid.shape, affine)


def _projection(image: Volume, codes: str) -> Volume:
    """The mean along the last of the axes ``codes``, as one slice."""
    turned = image.reoriented(codes)
    flat = np.rint(turned.array.mean(axis=3, keepdims=True)).astype(np.int16)
    columns, rows, _ = turned.geometry.shape
    return Volume(flat, turned.geometry.with_shape((columns, rows, 1)), image.channels)


def _write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    values = {structure.name: structure.value for structure in TORSO.structures}
    (folder / "labels.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, MANIFEST_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
