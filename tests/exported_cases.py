"""Cases of an app, with a version that a reader corrected, ready to be exported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from batch_studies import KEY, write_key, write_study
from case_factories import SCHEME, SENIOR, a_record, nifti_case

from medseg.config.review import ReviewConfig
from medseg.core.pseudonyms import ProjectKey
from medseg.core.volume import LabelMap
from medseg.io.formats import read_volume, write_label_map
from medseg.review.case_files import CaseFiles
from medseg.review.edits import save_version
from medseg.review.first_version import prediction_version
from medseg.review.open_case import OpenCase, open_case
from medseg.review.records import CaseName, Version
from medseg.review.store import Store, open_store
from medseg.review.vault import Vault


@dataclass(frozen=True, eq=False)
class House:
    """What exports need, without an app."""

    config: ReviewConfig
    key: ProjectKey
    store: Store
    vault: Vault


def house(folder: Path, **changes) -> House:
    folder.mkdir(parents=True, exist_ok=True)
    config = ReviewConfig(**{"folder": folder / "review", "key": write_key(folder / "project.key")} | changes)
    return House(config, KEY, open_store(config.folder, KEY), Vault(config.folder))


def dicom_case(folder: Path, name="series-a", **elements) -> CaseFiles:
    """A CT series, and a prediction of the first structure alone."""
    write_study(folder / "ct", **elements)
    grid = read_volume(folder / "ct").geometry
    array = np.zeros(grid.shape, np.uint8)
    array[2:8, 3:9, 2:7] = 1
    write_label_map(folder / "prediction.nii.gz", LabelMap(array, grid))
    named = CaseName(name)
    return CaseFiles(
        named,
        a_record().origin,
        (folder / "ct",),
        a_record(name),
        prediction=folder / "prediction.nii.gz",
        scheme=SCHEME,
    )


def corrected(place: House, files: CaseFiles, reader=SENIOR) -> tuple[OpenCase, Version]:
    """The case, opened, with a version in which a reader changed the first structure and drew the second."""
    case = open_case(files)
    place.store.add_case(files.record, reader)
    first = prediction_version(place.store, place.vault, case, reader)
    array = np.array(case.prediction.labels.array)
    array[0, 0, 0] = 1
    array[1, 1, 1:3] = 2
    labels = replace(case.prediction.labels, array=array)
    return case, save_version(place.store, place.vault, case, first, labels, reader)


def small_nifti_case(folder: Path, name: str) -> CaseFiles:
    folder.mkdir()
    return nifti_case(folder, name)
