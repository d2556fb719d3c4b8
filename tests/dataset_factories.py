"""Small data sets on disk, in every layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from factories import geometry, label_map, volume

from medseg.core.case import CaseId
from medseg.core.labels import LabelScheme
from medseg.core.volume import Volume
from medseg.data.dataset import CaseFiles, Dataset, ImageFile
from medseg.io.formats import write_label_map, write_volume

GRID = geometry((4, 5, 6))
SCHEME = LabelScheme.from_names({"one": 1, "two": 2})


def write_image(path: Path, seed=0, channels=("image",), grid=GRID) -> Path:
    write_volume(path, volume(grid, channels, seed=seed))
    return path


def write_label(path: Path, seed=0, values=(0, 1, 2), grid=GRID) -> Path:
    write_label_map(path, label_map(grid, values, seed))
    return path


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def msd(folder: Path, cases: Sequence[str] = ("a", "b"), modalities: Sequence[str] = ("MRI",)) -> Path:
    """A Decathlon folder; several modalities make 4D images."""
    pairs = []
    for seed, case in enumerate(cases):
        write_image(folder / "imagesTr" / f"{case}.nii.gz", seed, tuple(modalities))
        write_label(folder / "labelsTr" / f"{case}.nii.gz", seed)
        pairs.append({"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"})
    labels = {"0": "background", "1": "one", "2": "two"}
    modality = {str(index): name for index, name in enumerate(modalities)}
    write_json(
        folder / "dataset.json",
        {
            "name": "Small",
            "modality": modality,
            "labels": labels,
            "training": pairs,
            "numTraining": len(pairs),
            "test": [],
        },
    )
    return folder


def nnunet(folder: Path, cases: Sequence[str] = ("a", "b"), channels: Sequence[str] = ("T1", "T2"), **changes) -> Path:
    """A raw nnU-Net folder; ``changes`` replace entries of its description."""
    for seed, case in enumerate(cases):
        for index in range(len(channels)):
            write_image(folder / "imagesTr" / f"{case}_{index:04d}.nii.gz", 10 * seed + index)
        write_label(folder / "labelsTr" / f"{case}.nii.gz", seed)
    described = {
        "channel_names": {str(index): name for index, name in enumerate(channels)},
        "labels": {"background": 0, "one": 1, "two": 2},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", described | changes)
    return folder


def pairs(folder: Path, cases: Sequence[str] = ("a", "b"), suffix=".nii.gz") -> Path:
    """A folder pair with labels.json."""
    for seed, case in enumerate(cases):
        write_image(folder / "images" / f"{case}{suffix}", seed)
        write_label(folder / "labels" / f"{case}{suffix}", seed)
    write_json(folder / "labels.json", {"background": 0, "one": 1, "two": 2})
    return folder


def table(folder: Path, text: str, name="manifest.csv") -> Path:
    """A CSV manifest from its text, with labels.json beside it."""
    write_json(folder / "labels.json", {"one": 1, "two": 2})
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def case_files(folder: Path, case: str, grid=GRID, label_grid=None, values=(0, 1, 2), array=None) -> CaseFiles:
    """One case on disk with one channel and a label, of a given array or random."""
    image = folder / f"{case}_image.nii"
    if array is None:
        write_image(image, grid=grid)
    else:
        write_volume(image, Volume(np.asarray(array)[np.newaxis], grid))
    label = write_label(folder / f"{case}_label.nii", values=values, grid=label_grid or grid)
    return CaseFiles(CaseId(case), {"CT": ImageFile(image)}, label, patient=case)


def dataset(folder: Path, cases: Sequence[CaseFiles], scheme: LabelScheme | None = SCHEME) -> Dataset:
    """A data set of given cases with the channel CT."""
    return Dataset("small", folder, ("CT",), scheme, tuple(cases))


def listed(
    patients: Mapping[str, str], splits: Mapping[str, str] | None = None, unlabelled: Sequence[str] = ()
) -> Dataset:
    """A data set of files that do not exist: which case is of which patient, and which part it is marked for."""
    marks = splits or {}
    cases = [
        CaseFiles(
            CaseId(case),
            {"CT": ImageFile(Path(case))},
            None if case in unlabelled else Path(case),
            patient,
            split=marks.get(case),
        )
        for case, patient in patients.items()
    ]
    return dataset(Path(), cases)
