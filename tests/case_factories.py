"""Cases for the tests of the review app: files with known voxels, and what a batch leaves behind."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
from batch_studies import KEY, Here, settings, write_study
from factories import geometry, label_map, scheme, volume

from medseg.batch.discover import find_studies
from medseg.batch.engine import ListedTasks
from medseg.batch.job import Job, TaskMaker
from medseg.batch.manifest import open_manifest
from medseg.batch.outputs import ResultForm
from medseg.batch.work import WorkSettings, model_digest, open_worker
from medseg.config.review import BatchSource, FolderSource, ReviewConfig, Role
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.volume import Volume
from medseg.io.formats import write_label_map, write_volume
from medseg.review.case_files import CaseFiles
from medseg.review.records import CaseName, CaseRecord, Decision, Origin, Reader, Verdict, Version

GRID = geometry((9, 8, 7), (1.0, 1.5, 2.5), "LPS", 12.0)
SCHEME = scheme("liver", "spleen")
ANN, BOB = Reader("ann@clinic.example", Role.READER), Reader("bob@clinic.example", Role.READER)
SENIOR, ADMIN = Reader("sue@clinic.example", Role.SENIOR), Reader("amy@clinic.example", Role.ADMIN)


def a_record(name="case-a", **changes) -> CaseRecord:
    return CaseRecord(**{"name": CaseName(name), "origin": Origin.FOLDER} | changes)


def nifti_case(
    folder: Path, name="case-a", grid: Geometry = GRID, labels: LabelScheme = SCHEME, **changes
) -> CaseFiles:
    """An image, its prediction and a reference, as NIfTI; random voxels that each seed makes the same."""
    values = (0, *labels.values)
    write_volume(folder / "image.nii.gz", volume(grid))
    write_label_map(folder / "prediction.nii.gz", label_map(grid, values, seed=1))
    write_label_map(folder / "reference.nii.gz", label_map(grid, values, seed=2))
    return CaseFiles(
        **{
            "name": CaseName(name),
            "origin": Origin.FOLDER,
            "image": (folder / "image.nii.gz",),
            "record": a_record(name),
            "prediction": folder / "prediction.nii.gz",
            "reference": folder / "reference.nii.gz",
            "scheme": labels,
            "roots": (folder,),
        }
        | changes
    )


def listed_case(name="case-a", **changes) -> CaseFiles:
    """A case for a list, of which no file is there; ``changes`` go into its record."""
    record = a_record(name, **changes)
    return CaseFiles(record.name, record.origin, (), record, prediction=Path("somewhere.nii.gz"))


def entropy_file(path: Path, grid: Geometry = GRID, seed=0) -> Path:
    """Random numbers from 0 to 1 as an uncertainty map."""
    values = np.random.default_rng(seed).random((1, *grid.shape), dtype=np.float32)
    write_volume(path, Volume(values, grid))
    return path


def folder_source(folder: Path, cases=("one", "two"), grid: Geometry = GRID, **changes) -> FolderSource:
    """Images with predictions, as `medseg predict` leaves them, and references; with a ``labels.json``."""
    for seed, case in enumerate(cases):
        write_volume(folder / "images" / f"{case}.nii.gz", volume(grid, seed=seed))
        write_label_map(folder / "predictions" / f"{case}.nii.gz", label_map(grid, (0, *SCHEME.values), seed))
        write_label_map(folder / "reference" / f"{case}.nii.gz", label_map(grid, (0, *SCHEME.values), seed + 50))
    names = dict(zip(SCHEME.names, SCHEME.values, strict=True))
    (folder / "labels.json").write_text(json.dumps(names), encoding="utf-8")
    rows = [[case, f"{case}.nii.gz", "done", "", f"{case}.nii.gz", "1.5", "2.5"] for case in cases]
    write_predictions(folder / "predictions", rows)
    paths = {name: folder / name for name in ("images", "predictions", "reference")}
    return FolderSource(**{"kind": "folder", "labels": folder / "labels.json"} | paths | changes)


def write_predictions(folder: Path, rows: list[list[str]]) -> None:
    """The table that `medseg predict` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as stream:
        header = ["case", "input", "status", "reason", "output", *(f"{name} mL" for name in SCHEME.names)]
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


def batch_source(folder: Path, studies=1, forms=(ResultForm.NIFTI,), **changes) -> BatchSource:
    """Studies in ``folder/in``, what a batch of a tiny model made of them in ``folder/out``, the model in ``model``."""
    for number in range(studies):
        uid = {"StudyInstanceUID": f"1.2.826.0.1.3680043.8.498.1.{number}"}
        write_study(folder / "in" / str(number) / "ct", **uid)
    run_batch(folder, settings(folder, forms=forms))
    return BatchSource(**{"kind": "batch", "output": folder / "out", "studies": folder / "in"} | changes)


def run_batch(folder: Path, chosen: WorkSettings) -> None:
    """Do what `medseg batch` does with the studies in ``folder/in``, in this process."""
    with open_manifest(chosen.output, f"{model_digest(chosen.bundle)} {KEY.fingerprint}") as manifest:
        job = Job(chosen.output, manifest)
        job.begin(chosen)
        found, maker = find_studies(folder / "in", KEY).studies, TaskMaker.of(chosen)
        left = job.left(maker.task(one) for one in found)
        reasons = [one.reason for one in job.run(Here(partial(open_worker, chosen, 1)), ListedTasks(left))]
    assert reasons == [""] * len(left)


def config_of(*sources: BatchSource | FolderSource, **changes) -> ReviewConfig:
    return ReviewConfig(**{"sources": sources} | changes)


def a_version(number=0, parent: int | None = None, author="model", case="case-a") -> Version:
    parent = (number - 1 if number else None) if parent is None else parent
    return Version(CaseName(case), number, parent, author, float(number), f"{number:064x}")


def a_decision(verdict=Verdict.ACCEPTED, reader="ann@clinic.example", version=0, case="case-a", made=1.0) -> Decision:
    return Decision(CaseName(case), version, reader, verdict, made)


class Shelf:
    """A store that holds what it is given."""

    def __init__(self, versions: list[Version] = (), decisions: list[Decision] = ()):
        self._versions, self._decisions = versions, decisions

    def versions(self, case: CaseName | None = None) -> list[Version]:
        return [one for one in self._versions if case in (None, one.case)]

    def decisions(self, case: CaseName | None = None) -> list[Decision]:
        return [one for one in self._decisions if case in (None, one.case)]
