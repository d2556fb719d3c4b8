"""Names of released files: nothing of a person, nothing twice, always inside."""

from __future__ import annotations

import re
from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.bids_names import bids_keys, bids_words, entity_at_start, is_bids
from medseg.deid.descriptors import Vocabulary
from medseg.deid.file_names import (
    PATIENT_ID,
    safe_label,
    safe_subject,
    safe_target,
    subject_label,
    subject_pseudonym,
    taken_from,
)

KEY, OTHER = ProjectKey(b"k" * 32), ProjectKey(b"o" * 32)
WORDS = Vocabulary(frozenset({"mysequence"}))
HEX = "[0-9a-f]{16}"


def target(path: str, suffix: str | None = None, key=KEY) -> str:
    return safe_target(PurePosixPath(path), key, WORDS, suffix).as_posix()


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("sub-DOE/anat/sub-DOE_T1w.nii.gz", f"sub-({HEX})/anat/sub-\\1_T1w.nii.gz"),
        ("sub-DOE/ses-01/func/sub-DOE_ses-01_task-rest_run-2_bold.json",
         f"sub-({HEX})/ses-01/func/sub-\\1_ses-01_task-rest_run-2_bold.json"),
        ("sub-DOE/ses-20190304/sub-DOE_ses-20190304_scans.tsv",
         f"sub-({HEX})/ses-({HEX})/sub-\\1_ses-\\2_scans.tsv"),
        ("sub-1_acq-mysequence2_dir-AP_epi.nii", f"sub-{HEX}_acq-mysequence2_dir-AP_epi.nii"),
        ("sub-1_acq-highResT1w_T1w.nii", f"sub-{HEX}_acq-({HEX})_T1w.nii"),
        ("sub-1_acq-highRes_T1w.nii", f"sub-{HEX}_acq-highRes_T1w.nii"),
        ("sub-1_acq-preMask_T1w.nii", f"sub-{HEX}_acq-preMask_T1w.nii"),
        ("sub-1_run-2019_T1w.nii", f"sub-{HEX}_run-{HEX}_T1w.nii"),
        ("sub-1_run-1pre2pre3_T1w.nii", f"sub-{HEX}_run-{HEX}_T1w.nii"),
        ("sub-1_acq-pre+post_T1w.nii", f"sub-{HEX}_acq-{HEX}_T1w.nii"),
        ("sub-1_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz",
         f"sub-{HEX}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz"),
        ("task-rest_bold.json", "task-rest_bold.json"),
        ("participants.tsv", "participants.tsv"),
        ("a/dataset_description.json", f"folder-{HEX}/dataset_description.json"),
        ("sub-1_T1w_DOE.nii.gz", f"image-{HEX}.nii.gz"),
        ("sub-1_sub-2_T1w.nii.gz", f"image-{HEX}.nii.gz"),
        ("sub-1_doe-2_T1w.nii.gz", f"image-{HEX}.nii.gz"),
        ("Doe, John/CT 2019-03-04.nii.gz", f"folder-{HEX}/image-{HEX}.nii.gz"),
        ("imagesTr/doe_0001.nii.gz", f"imagesTr/image-{HEX}_0001.nii.gz"),
        ("imagesTr/doe_1956.nii.gz", f"imagesTr/image-{HEX}.nii.gz"),
        ("doe.seg.nrrd", f"image-{HEX}.seg.nrrd"),
        ("doe.bval", f"image-{HEX}.bval"),
        (".nii.gz", f"image-{HEX}"),
        ("doe", f"image-{HEX}"),
        ("sub-1", f"image-{HEX}"),
        ("..\\..\\evil.nii", f"image-{HEX}.nii"),
    ],
)  # fmt: skip
def test_what_names_become(path, pattern):
    assert re.fullmatch(pattern, target(path))
    assert target(target(path)) == target(path)
    assert not re.search("doe|john|2019|1956|evil", target(path).lower())


def test_an_image_its_mask_and_its_sidecar_share_a_name():
    image, mask = target("imagesTr/doe_0000.nii.gz"), target("labelsTr/doe.nii.gz")
    assert image == mask.replace("labelsTr", "imagesTr").replace(".nii", "_0000.nii")
    assert target("labelsTr/doe.json") == mask.replace(".nii.gz", ".json")


def test_the_content_chooses_the_suffix_and_nothing_collides():
    names = [("a", ".nii"), ("a.dat", ".nii"), ("a.nii", ".nii"), ("a.NII", ".nii"), ("a.hdr", ".nii"), ("a", ".mha"),
             ("a.nii", ".nii.gz"), ("a.nii.gz", ".nii.gz"), ("a.dat.nii", ".nii"), ("a.seg.nrrd", ".nrrd"),
             ("a.nrrd", ".nrrd"), ("a.seg", ".nrrd"), ("A.nii", ".nii"), ("a.jpeg", ".jpg"),
             ("a.jpg", ".jpg")]  # fmt: skip
    targets = [target(name, suffix) for name, suffix in names]
    assert len(set(targets)) == len(names)
    assert all(path.endswith(suffix) for path, (_, suffix) in zip(targets, names, strict=True))
    assert target("a.nii") == target("a.nii", ".nii")


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.nii", "a/../../b.nii", ".", ""])
def test_paths_that_leave_are_refused(path):
    with pytest.raises(InputError, match="^the path of a file to be released must be relative and may not climb out"):
        target(path)


def test_windows_paths_that_leave_are_refused():
    with pytest.raises(InputError, match="must be relative"):
        safe_target(PureWindowsPath("C:a.nii"), KEY, WORDS)


def test_keys():
    assert target("doe/doe.nii") == target("doe/doe.nii")
    assert target("doe/doe.nii") != target("doe/doe.nii", key=OTHER)
    assert target(target("doe/doe.nii"), key=OTHER) != target("doe/doe.nii")


def test_subjects_are_the_patients_of_that_number():
    assert subject_label(PurePath("sub-01/ses-2/anat/sub-01_T1w.nii")) == "01"
    assert subject_label(PurePath("sub-01/sub-02_T1w.nii")) == "02"
    assert subject_label(PurePath("a/b.nii")) is None
    assert subject_pseudonym("01", KEY) == KEY.patient("", "01") == f"patient-{safe_subject('01', KEY)}"
    assert safe_subject(safe_subject("01", KEY), KEY) == safe_subject("01", KEY)
    assert subject_pseudonym(safe_subject("01", KEY), KEY) == KEY.patient("", "01")
    assert safe_subject("0123456789abcdef", KEY) != "0123456789abcdef"
    assert safe_label("acq", "0123456789abcdef", KEY, WORDS) != "0123456789abcdef"


def test_what_was_replaced_is_told_to_the_proof():
    def taken(path):
        return [(one.tag, one.value) for one in taken_from(PurePath(path), PurePath(target(path)))]

    assert taken("sub-DOE/ses-1/sub-DOE_ses-1_acq-john_T1w.nii") == [(PATIENT_ID, b"DOE"), (0, b"john")]
    assert taken("Doe John/imagesTr/DOE 17_0000.nii") == [(0, b"Doe John"), (0, b"DOE 17")]
    assert taken("task-rest_bold.json") == []
    assert taken("sub-x y/sub-DOE_x.nii") == [(0, b"sub-x y"), (0, b"sub-DOE_x")]
    assert taken("caf\udce9.nii") == [(0, b"caf\xe9")]
    assert taken(target("Doe John/DOE_0000.nii")) == []


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(NAMES, min_size=1, max_size=3))
def test_targets_are_plain_names_inside_for_any_name(parts):
    path = PurePosixPath(*parts)
    safe = safe_target(path, KEY, WORDS)
    assert not safe.is_absolute()
    assert len(safe.parts) == len(path.parts)
    assert all(re.fullmatch(r"[A-Za-z0-9_.+-]{1,200}", part) and part not in (".", "..") for part in safe.parts)
    assert safe_target(safe, KEY, WORDS) == safe


@given(st.lists(st.from_regex(r"\A(sub-[a-z]{1,2}_)?(acq-[a-z0-9]{1,2}_)?[Ta1]{1,2}w?(_000\d)?(\.nii|\.nii\.gz|\.NII)?\Z"),
                min_size=2, max_size=20, unique=True))  # fmt: skip
def test_two_names_never_become_one(names):
    assert len({target(name, ".nii") for name in names}) == len(names)


def test_lists():
    assert {"sub", "ses", "run"} <= bids_words("entities")
    assert {"T1w", "bold"} <= bids_words("suffixes")
    assert all(word == word.lower() for word in bids_words("labels"))
    assert set(bids_keys().values()) == {
        "numbers", "technical", "words", "paths", "tasks", "fields", "characteristics"
    }  # fmt: skip
    assert entity_at_start("sub-01_T1w") == ("sub", "01")
    assert entity_at_start("T1w") is None
    assert is_bids("T1w")
    assert not is_bids("sub-01")


IDENTIFYING = (
    "PatientName PatientID PatientBirthDate AccessionNumber InstitutionName InstitutionAddress StationName "
    "InstitutionalDepartmentName DeviceSerialNumber StudyInstanceUID SeriesInstanceUID StudyID ReferringPhysicianName "
    "AcquisitionTime AcquisitionDateTime ImageComments OperatorsName DatasetDOI Authors ScanDate TimeZero"
)


@pytest.mark.parametrize("key", IDENTIFYING.split())
def test_identifying_keys_are_on_no_list(key):
    assert key not in bids_keys()
