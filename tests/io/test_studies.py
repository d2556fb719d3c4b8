"""What is found in a folder, and what is said of it."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from broken_series import BROKEN, GRID
from dicom_factories import (
    MARKER,
    OBLIQUE,
    Grid,
    read_folder,
    series_datasets,
    voxels,
    write_changed,
    write_files,
    write_series,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)

from medseg.core.errors import InputError
from medseg.io.dicom_read import read_series
from medseg.io.studies import find_series

SMALL = Grid(slices=3)


class Steps:
    """A progress that counts."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def start(self, label, total):
        self.total = total

    def advance(self, steps=1):
        self.done += steps

    def note(self, text):
        raise AssertionError(text)

    def finish(self):
        raise AssertionError("the caller's job is not over")


def other_object(modality: str, like: Dataset) -> Dataset:
    """An object without pixels in the study of ``like``."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = like.StudyInstanceUID, generate_uid()
    dataset.PatientID, dataset.IssuerOfPatientID = like.PatientID, like.IssuerOfPatientID
    dataset.Modality = modality
    return dataset


def test_a_mixed_folder_is_sorted_out_by_headers(tmp_path):
    ct = series_datasets(SMALL, voxels(SMALL, seed=1))
    mr = series_datasets(OBLIQUE, voxels(OBLIQUE, seed=2), modality="MR", StudyInstanceUID=ct[0].StudyInstanceUID)
    other = series_datasets(SMALL, voxels(SMALL, seed=3), PatientID="another")
    write_files(tmp_path / "a", [*mr, *ct, other_object("SR", ct[0])])
    write_files(tmp_path / "a" / "b", other)
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 nothing")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "notes.dcm").write_text("not what its name says " * 20)
    steps = Steps()
    inventory = find_series(tmp_path, steps)
    assert sorted((one.modality, one.frames, one.problem) for one in inventory.series) == [
        ("CT", 3, None),
        ("CT", 3, None),
        ("MR", 5, None),
        ("SR", 0, "a structured report, not an image"),
    ]
    assert inventory.other_files == 3
    assert inventory.unreadable == 0
    assert steps.done == steps.total == 14  # the empty file is not opened


def test_what_is_said_of_a_series(tmp_path):
    write_series(tmp_path, OBLIQUE, ConvolutionKernel="B30f", MagneticFieldStrength="3", ManufacturerModelName="model")
    (series,) = find_series(tmp_path).series
    assert (series.rows, series.columns, series.frames, series.modality) == (7, 9, 5, "CT")
    assert series.description == "axial thin"
    assert series.body_part == "ABDOMEN"
    assert series.patient == f"hospital\0{MARKER}-ID"
    assert series.attributes == {
        "sex": "F",
        "age": "061Y",
        "manufacturer": "maker",
        "model": "model",
        "field_strength_t": "3",
        "kernel": "B30f",
    }
    assert series.geometry is not None
    np.testing.assert_allclose(series.geometry.affine, OBLIQUE.affine, atol=1e-6)


def test_files_are_sorted_by_position(tmp_path):
    write_series(tmp_path, OBLIQUE)
    (series,) = find_series(tmp_path).series
    depths = [pydicom.dcmread(path).ImagePositionPatient @ OBLIQUE.directions[:, 2] for path in series.files]
    np.testing.assert_allclose(np.diff(depths), 2.5, atol=1e-6)


def test_repr_shows_nothing_of_the_patient(tmp_path):
    write_series(tmp_path, OBLIQUE)
    inventory = find_series(tmp_path)
    assert MARKER not in repr(inventory)
    assert "1.2.826" not in repr(inventory)


def test_one_file_is_a_folder_of_one(tmp_path):
    write_series(tmp_path, OBLIQUE)
    (series,) = find_series(min(tmp_path.iterdir())).series
    assert len(series.files) == 1
    assert series.problem is None


def test_empty_folder_and_missing_folder(tmp_path):
    assert find_series(tmp_path).series == ()
    with pytest.raises(InputError, match="does not exist"):
        find_series(tmp_path / "nowhere")


def test_dicomdir_is_no_series(tmp_path):
    write_series(tmp_path, SMALL)
    index = other_object("", series_datasets(SMALL, voxels(SMALL))[0])
    index.SOPClassUID = MediaStorageDirectoryStorage
    index.DirectoryRecordSequence = [Dataset()]
    index.DirectoryRecordSequence[0].ReferencedFileID = ["ETC", "PASSWD"]
    write_files(tmp_path / "disc", [index])
    inventory = find_series(tmp_path)
    assert [one.problem for one in inventory.series] == [None]
    assert inventory.other_files == 1
    assert inventory.unreadable == 0


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("has_meta", [False, True])
def test_files_without_preamble(tmp_path, syntax, has_meta):
    stored = write_series(tmp_path, SMALL, syntax=syntax)
    for path in tmp_path.iterdir():
        content = path.read_bytes()[132:]
        length = int.from_bytes(content[8:12], "little")
        path.write_bytes(content if has_meta else content[12 + length :])
    np.testing.assert_array_equal(read_folder(tmp_path).array[0], stored)


def test_big_endian_file_without_anything_in_front(tmp_path):
    stored = voxels(SMALL)
    datasets = series_datasets(SMALL, stored)
    for dataset in datasets:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    for path in write_files(tmp_path, datasets, ExplicitVRBigEndian):
        content = path.read_bytes()
        path.write_bytes(content[132 + 12 + int.from_bytes(content[140:144], "little") :])
    (series,) = find_series(tmp_path).series
    assert series.frames == 3


def test_images_whose_uids_were_emptied_are_told_apart_by_folder(tmp_path):
    for folder in ("a", "b"):
        datasets = series_datasets(SMALL, voxels(SMALL))
        for dataset in datasets:
            dataset.StudyInstanceUID = dataset.SeriesInstanceUID = ""
        write_files(tmp_path / folder, datasets)
    one, two = find_series(tmp_path).series
    assert one.problem is two.problem is None
    assert one.uid != two.uid
    assert read_series(one).geometry.shape == (9, 7, 3)


def test_derived_object_without_series_and_pixels_is_another_file(tmp_path):
    dataset = other_object("SR", series_datasets(SMALL, voxels(SMALL))[0])
    dataset.SeriesInstanceUID = ""
    write_files(tmp_path, [dataset])
    found = find_series(tmp_path)
    assert (found.other_files, found.derived, found.unreadable) == (1, 1, 0)
    dataset.SOPClassUID = CTImageStorage  # of which nobody knows whether it was cut off before its pixels
    write_files(tmp_path, [dataset])
    found = find_series(tmp_path)
    assert (found.other_files, found.derived, found.unreadable) == (1, 0, 0)


def test_same_series_uid_in_two_studies_is_two_series(tmp_path):
    first, second = (series_datasets(SMALL, voxels(SMALL, seed=seed)) for seed in (1, 2))
    for dataset in second:
        dataset.SeriesInstanceUID = first[0].SeriesInstanceUID
    write_files(tmp_path, [*first, *second])
    assert [one.problem for one in find_series(tmp_path).series] == [None, None]


def test_report_with_the_uid_of_its_images_does_not_spoil_them(tmp_path):
    datasets = series_datasets(SMALL, voxels(SMALL))
    report = other_object("SR", datasets[0])
    report.SeriesInstanceUID = datasets[0].SeriesInstanceUID
    write_files(tmp_path, [*datasets, report])
    found = {one.modality: one.problem for one in find_series(tmp_path).series}
    assert found == {"CT": None, "SR": "a structured report, not an image"}


def test_problem_names_how_many_files_have_it(tmp_path):
    datasets = series_datasets(SMALL, voxels(SMALL))
    datasets[1].PhotometricInterpretation = "RGB"
    write_files(tmp_path, datasets)
    (series,) = find_series(tmp_path).series
    assert series.problem == "a colour image; only greyscale is read (1 of 3 files)"


@pytest.mark.parametrize("kind", BROKEN)
def test_only_what_is_not_all_there_is_damaged(tmp_path, kind):
    write_changed(tmp_path, BROKEN[kind][0], GRID)
    (series,) = find_series(tmp_path).series
    assert series.is_damaged == (kind in ("one missing", "three missing"))


def test_files_that_are_cut_off_are_damage(tmp_path):
    datasets = series_datasets(SMALL, voxels(SMALL))
    paths = write_files(tmp_path, datasets)
    assert not find_series(tmp_path).series[0].is_damaged
    content = paths[1].read_bytes()
    for end in (len(content) - 3, content.index(b"\x28\x00\x10\x00")):
        paths[1].write_bytes(content[:end])
        assert find_series(tmp_path).series[0].is_damaged


def test_gap_is_no_problem_where_it_will_be_filled(tmp_path):
    grid = Grid(slices=6)
    datasets = series_datasets(grid, voxels(grid))
    write_files(tmp_path, [*datasets[:2], *datasets[3:]])
    assert "1 of 6 slices missing" in find_series(tmp_path).series[0].problem
    (series,) = find_series(tmp_path, fill_gaps=True).series
    assert series.problem is None
    assert series.geometry.shape == (9, 7, 6)


def test_unreadable_files_are_counted(tmp_path):
    write_series(tmp_path, SMALL)
    (tmp_path / "broken").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 400)
    inventory = find_series(tmp_path)
    assert len(inventory.series) == 1
    assert inventory.other_files + inventory.unreadable == 1


@pytest.mark.parametrize(
    ("charset", "content", "expected"),
    [
        ("ISO_IR 192", "Schädel ü".encode(), "Schädel ü"),
        ("ISO_IR 100", "Schädel".encode("latin-1"), "Schädel"),
        (None, b"plain\x00", "plain"),
        ("ISO_IR 192", b"\xff\xfe broken", "\ufffd\ufffd broken"),
    ],
)
def test_description_in_its_character_set(tmp_path, charset, content, expected):
    datasets = series_datasets(SMALL, voxels(SMALL))
    for dataset in datasets:
        if charset:
            dataset.SpecificCharacterSet = charset
        dataset.SeriesDescription = "X" * (len(content) + len(content) % 2)
    for path in write_files(tmp_path, datasets):
        old = b"X" * (len(content) + len(content) % 2)
        path.write_bytes(path.read_bytes().replace(old, content.ljust(len(old))))
    (series,) = find_series(tmp_path).series
    assert series.description == expected
