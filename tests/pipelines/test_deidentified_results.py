"""With de-identification the references follow: before the batch, after it, or both, under one key."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from batch_studies import CPU, FITS, Here, write_key, write_model
from dicom_factories import series_datasets, voxels, write_files

from medseg.batch import session
from medseg.batch.outputs import ResultForm
from medseg.batch.session import BatchOptions
from medseg.config.load import load_profile
from medseg.core.geometry import Geometry
from medseg.io.label_files import read_outlines
from medseg.pipelines.batch import predict_studies
from medseg.pipelines.deidentify import DeidentifyOptions, deidentify

STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
FORMS = (ResultForm.SEG, ResultForm.REPORT, ResultForm.RTSTRUCT)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(session, "LocalEngine", Here)


@pytest.fixture
def study(tmp_path) -> Path:
    elements = {"StudyDate": "20200102", "PatientBirthDate": "19500101", "StudyID": "7", "ImageType": "ORIGINAL"}
    datasets = series_datasets(FITS, voxels(FITS), StudyInstanceUID=STUDY_UID, **elements)
    write_files(tmp_path / "studies" / "ct", datasets)
    return tmp_path / "studies"


def outlined(studies: Path, tmp_path: Path, output: str) -> Path:
    """Results of the tiny model."""
    if not (tmp_path / "model").exists():
        write_model(tmp_path / "model")
    options = BatchOptions(FORMS, CPU, key=write_key(tmp_path / "project.key"))
    run = predict_studies(tmp_path / "model", studies, tmp_path / output, options)
    assert not run.has_failures
    assert run.ended == 1
    return tmp_path / output / "studies"


def released(source: Path, tmp_path: Path, output: str) -> Path:
    options = DeidentifyOptions(load_profile("basic"), write_key(tmp_path / "project.key"), workers=0)
    done = deidentify(source, tmp_path / output, options)
    held = json.loads((done.quarantine / "quarantine.json").read_text()) if done.report.quarantined else {}
    assert {item["source"].rpartition("/")[2] for items in held.values() for item in items} <= {"preview.jpg"}
    return tmp_path / output


def objects(folder: Path) -> dict[str, list[pydicom.Dataset]]:
    found: dict[str, list[pydicom.Dataset]] = {}
    for path in [path for path in folder.rglob("*") if path.suffix in (".dcm", ".bin")]:
        dataset = pydicom.dcmread(path)
        found.setdefault(dataset.Modality, []).append(dataset)
    return found


def referenced(dataset: pydicom.Dataset) -> set[str]:
    return {str(element.value) for element in dataset.iterall() if element.keyword == "ReferencedSOPInstanceUID"}


def check_references(results: Path, images: Path) -> None:
    found, ct = objects(results), objects(images)["CT"]
    uids = {str(one.SOPInstanceUID) for one in ct}
    (seg,), (report,), (rtstruct,) = found["SEG"], found["SR"], found["RTSTRUCT"]
    assert referenced(seg) == uids
    assert referenced(rtstruct) - {str(ct[0].StudyInstanceUID)} <= uids
    assert str(seg.SOPInstanceUID) in referenced(report)
    for one in (seg, report, rtstruct):
        assert (one.StudyInstanceUID, one.PatientID) == (ct[0].StudyInstanceUID, ct[0].PatientID)
    assert seg.FrameOfReferenceUID == ct[0].FrameOfReferenceUID


def test_results_of_a_deidentified_study_refer_to_it_and_name_nobody(tmp_path, study):
    clean = released(study, tmp_path, "clean")
    results = outlined(clean, tmp_path, "results")
    check_references(results, clean)
    assert not [path for path in results.rglob("*") if path.is_file() and b"MARKER" in path.read_bytes()]
    (seg,) = objects(results)["SEG"]
    assert seg.PatientIdentityRemoved == "YES"


def test_results_of_originals_follow_when_both_are_deidentified(tmp_path, study):
    results = outlined(study, tmp_path, "results")
    check_references(results, study)
    clean, clean_results = released(study, tmp_path, "clean"), released(results, tmp_path, "clean results")
    check_references(clean_results, clean)
    before, after = (
        next(path for path in folder.rglob("*.dcm") if pydicom.dcmread(path).Modality == "SEG")
        for folder in (results, clean_results)
    )
    grid = Geometry((FITS.columns, FITS.rows, FITS.slices), FITS.affine)
    one, other = (read_outlines(path, grid) for path in (before, after))
    assert one.geometry.is_close(other.geometry)
    np.testing.assert_array_equal(one.labels.array, other.labels.array)
