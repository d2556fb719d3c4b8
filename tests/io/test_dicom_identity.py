"""Whose a file is, from its first elements, however it ends."""

from __future__ import annotations

import pytest
from dicom_bytes import DATA, dicom_bytes, element
from dicom_factories import Grid, series_datasets, voxels, write_file
from raw_dicom import NEEDED, file_of

from medseg.core.errors import ReadError
from medseg.io.dicom_identity import FileIdentity, read_file_identity

GRID = Grid(slices=1)
STUDY, INSTANCE = NEEDED[0x0020000D][1].decode(), NEEDED[0x00080018][1].decode()
KIND = NEEDED[0x00080016][1].decode()


def test_study_and_instance_of_a_file(tmp_path):
    (dataset,) = series_datasets(GRID, voxels(GRID))
    path = tmp_path / "a"
    write_file(path, dataset)
    identity = read_file_identity(path)
    size, kind = path.stat().st_size, dataset.SOPClassUID
    assert identity == FileIdentity(dataset.StudyInstanceUID, dataset.SOPInstanceUID, size, kind)
    assert dataset.StudyInstanceUID not in repr(identity)


def test_a_file_without_uids_is_known_by_its_folder_and_its_name(tmp_path):
    rest = (element(0x0020000E, "UI"), element(0x00280010, "US", b"\1\0"))
    found = {}
    for place in ("a/1", "a/2", "b/1"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dicom_bytes(*rest))
        found[place] = read_file_identity(path)
    assert found["a/1"].study_uid == found["a/2"].study_uid != found["b/1"].study_uid
    assert [one.instance_uid for one in found.values()] == ["1", "2", "1"]


def test_what_is_no_dicom_file_is_nobodys(tmp_path):
    path = tmp_path / "a"
    for content in (b"", b"a text that is no DICOM", bytes(200)):
        path.write_bytes(content)
        assert read_file_identity(path) is None
    assert read_file_identity(DATA / "test_files" / "dicomdirtests" / "DICOMDIR") is None


def test_a_file_that_is_cut_off_is_never_taken_for_anothers(tmp_path):
    path = tmp_path / "a"
    content = file_of((0x00280010, element(0x00280010, "US", b"\1\0")))
    told = content.index(b"\x20\x00\x0e\x00") + 8
    for length in range(132, len(content)):
        path.write_bytes(content[:length])
        if length < told:
            with pytest.raises(ReadError):
                read_file_identity(path)
        else:
            assert read_file_identity(path) == FileIdentity(STUDY, INSTANCE, length, KIND)


def test_a_file_that_is_not_there_is_told_without_its_name(tmp_path):
    with pytest.raises(ReadError, match=r"^a file cannot be read \(No such file or directory\)$"):
        read_file_identity(tmp_path / "MARKER")
