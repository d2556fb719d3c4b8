from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pydicom
import pytest
from dicom_factories import Grid, series_datasets, voxels, write_file
from factories import volume
from PIL import Image

from medseg.core.pseudonyms import ProjectKey
from medseg.deid import index as index_module
from medseg.deid.conflicts import SEVERAL_PATIENTS, SHARED_NUMBER
from medseg.deid.index import ARCHIVE, MISNAMED, NO_INSTANCE_UID, NO_STUDY_UID, OTHER, read_index
from medseg.deid.names import name_of
from medseg.io.formats import write_volume

KEY = ProjectKey(b"k" * 32)
SMALL = Grid(columns=4, rows=3, slices=2)


def write_study(folder, **elements):
    """Two CT files of one series; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    datasets = series_datasets(SMALL, voxels(SMALL), **elements)
    for number, dataset in enumerate(datasets):
        write_file(folder / f"{number}.dcm", dataset)
    return [folder / f"{number}.dcm" for number in range(len(datasets))]


def change(path, **elements):
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def only(folder):
    (study,) = read_index(folder, KEY).studies
    return study


def test_files_make_studies_whatever_their_names(tmp_path):
    write_study(tmp_path / "a", StudyInstanceUID="1.2.3", AccessionNumber="77")
    write_study(tmp_path / "b" / "c", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.9")
    write_study(tmp_path / "d", StudyInstanceUID="1.2.4")
    found = {study.uid: study for study in read_index(tmp_path, KEY).studies}
    assert {uid: len(study.paths) for uid, study in found.items()} == {"1.2.3": 4, "1.2.4": 2}
    assert found["1.2.3"].name == name_of(KEY, "study", "1.2.3")
    assert sorted(found["1.2.3"].accessions.values()) == ["", "77"]
    assert found["1.2.3"].identity.issuer == "hospital"
    series = [one.series_uid for one in found["1.2.3"].instances]
    assert series == sorted(series)
    assert found["1.2.3"].problem == ""


def test_nothing_of_a_study_is_shown(tmp_path):
    write_study(tmp_path, StudyInstanceUID="1.2.3", PatientName="Doe^Anna")
    text = repr(read_index(tmp_path, KEY))
    assert not any(secret in text for secret in ("1.2.3", "Doe", "MARKER", str(tmp_path)))


def test_equal_copies_count_once_and_contradictions_are_told_apart(tmp_path):
    paths = write_study(tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(paths[0], tmp_path / "b" / "copy.dcm")
    study = only(tmp_path)
    assert (len(study.instances), study.twins, study.copies) == (2, (), 1)
    change(tmp_path / "b" / "copy.dcm", SeriesDescription="other")
    study = only(tmp_path)
    assert (len(study.instances), len(study.twins), study.copies) == (1, 2, 0)
    assert set(study.twins) == {paths[0], tmp_path / "b" / "copy.dcm"}


def test_a_copy_that_cannot_be_compared_is_a_contradiction(tmp_path, monkeypatch):
    paths = write_study(tmp_path)
    shutil.copy(paths[0], tmp_path / "copy.dcm")

    def fail(*_, **__):
        raise PermissionError

    monkeypatch.setattr(index_module.filecmp, "cmp", fail)
    assert len(only(tmp_path).twins) == 2


def test_a_study_of_two_patients_has_a_problem(tmp_path):
    paths = write_study(tmp_path, PatientID="1")
    change(paths[0], PatientID="2")
    study = only(tmp_path)
    assert study.problem == SEVERAL_PATIENTS
    assert study.identity is None


def test_one_id_for_two_people_is_a_problem_of_all_their_studies(tmp_path):
    write_study(tmp_path / "a", PatientID="1", PatientName="Doe^Anna", PatientBirthDate="19500101")
    write_study(tmp_path / "b", PatientID="1", PatientName="Roe^Berta", PatientBirthDate="19620202")
    write_study(tmp_path / "c", PatientID="2", PatientName="Roe^Berta", PatientBirthDate="19620202")
    problems = {study.identity.number: study.problem for study in read_index(tmp_path, KEY).studies}
    assert problems == {"1": SHARED_NUMBER, "2": ""}


@pytest.mark.parametrize(
    ("change_to", "reason"),
    [({"StudyInstanceUID": ""}, NO_STUDY_UID), ({"SOPInstanceUID": ""}, NO_INSTANCE_UID)],
)
def test_objects_without_their_uids_are_refused(tmp_path, change_to, reason):
    paths = write_study(tmp_path)
    dataset = pydicom.dcmread(paths[0])
    for keyword, value in change_to.items():
        setattr(dataset, keyword, value)
    pydicom.dcmwrite(paths[0], dataset)
    found = read_index(tmp_path, KEY)
    assert found.refused == ((paths[0], reason),)
    assert len(only(tmp_path).instances) == 1


def test_a_damaged_file_is_refused(tmp_path):
    paths = write_study(tmp_path)
    paths[0].write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x10\x00OB\x00\x00\xf0\xff\xff\xff" + b"x" * 70)
    ((path, reason),) = read_index(tmp_path, KEY).refused
    assert path == paths[0]
    assert reason == "a DICOM file ends inside an element"


def test_other_files_are_sorted_by_what_they_hold(tmp_path):
    write_volume(tmp_path / "brain.nii.gz", volume())
    write_volume(tmp_path / "liver.nrrd", volume())
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "shot.png")
    (tmp_path / "brain.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("hello")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("a", "b")
    found = read_index(tmp_path, KEY)
    assert sorted(path.name for path in found.images) == ["brain.nii.gz", "liver.nrrd", "shot.png"]
    assert [path.name for path in found.sidecars] == ["brain.json"]
    assert found.passed == {ARCHIVE: 1, OTHER: 1}


def test_what_is_an_image_by_its_name_only_is_refused(tmp_path):
    (tmp_path / "brain.nii.gz").write_bytes(b"\x1f\x8b damaged")
    (tmp_path / "slice.DCM").write_bytes(b"no DICOM")
    found = read_index(tmp_path, KEY)
    assert {path.name: reason for path, reason in found.refused} == {"brain.nii.gz": MISNAMED, "slice.DCM": MISNAMED}


def test_sidecars_without_images_are_just_files(tmp_path):
    (tmp_path / "brain.json").write_text("{}")
    found = read_index(tmp_path, KEY)
    assert (found.sidecars, found.passed) == ((), {OTHER: 1})


def test_the_second_half_of_a_pair_goes_with_the_first(tmp_path):
    import nibabel

    nibabel.save(nibabel.Nifti1Pair(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "brain.img")
    found = read_index(tmp_path, KEY)
    assert [path.name for path in found.images] == ["brain.hdr"]
    assert not found.passed


def test_progress_moves_with_each_file(tmp_path):
    class Steps:
        total = done = 0

        def start(self, _label, total):
            self.total = total

        def advance(self, steps=1):
            self.done += steps

    write_study(tmp_path)
    steps = Steps()
    read_index(tmp_path, KEY, steps)
    assert (steps.total, steps.done) == (2, 2)
