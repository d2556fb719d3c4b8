"""Which data set a subject belongs to."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from medseg.core.pseudonyms import ProjectKey
from medseg.deid.data_sets import data_set_of, patient_of
from medseg.deid.descriptors import Vocabulary
from medseg.deid.file_names import safe_target, subject_label, subject_pseudonym

KEY = ProjectKey(b"k" * 32)
FILE = "sub-1/anat/sub-1_T1w.nii.gz"


def data_set(path: str) -> tuple[str, ...]:
    return data_set_of(PurePath(path), KEY)


@pytest.mark.parametrize("above", ["", "derivatives/prep", "rawdata", "sourcedata", "train", "imagesTr"])
def test_folders_inside_of_a_data_set_tell_no_other(above):
    assert data_set(f"{above}/{FILE}" if above else FILE) == ()
    assert data_set(f"ds1/{above}/{FILE}") == (KEY.name("folder", "ds1"),)


def test_a_label_is_a_patient_of_its_data_set():
    assert data_set(f"site/ds1/{FILE}") == data_set("site/ds1/imagesTr/sub-1_0000.nii.gz")
    folders = ["", "ds1/", "ds2/", "site/ds1/", "train/ds1/x/"]
    patients = {patient_of(data_set(f"{folder}{FILE}"), "1", KEY) for folder in folders}
    assert len(patients) == len(folders)
    assert patient_of((), "1", KEY) == subject_pseudonym("1", KEY)
    assert all(KEY.made_name(patient) for patient in patients)


@pytest.mark.parametrize("path", [f"ds1/{FILE}", f"ds1/rawdata/{FILE}", f"derivatives/prep/{FILE}", FILE])
def test_a_data_set_that_was_cleaned_keeps_its_patients(path):
    cleaned = safe_target(PurePath(path), KEY, Vocabulary.load(()))
    label = subject_label(cleaned)
    assert label != "1"
    assert patient_of(data_set(str(cleaned)), str(label), KEY) == patient_of(data_set(path), "1", KEY)
