"""images/ and labels/, matched by name."""

from __future__ import annotations

import os

import numpy as np
import pytest
from dataset_factories import GRID, pairs, write_image, write_json, write_label
from dicom_factories import OBLIQUE, Grid, enhanced_dataset, voxels, write_file, write_series
from factories import label_map
from image_readers import picture_grid

from medseg.core.errors import InputError, LabelError, ReadError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.io.formats import write_label_map, write_volume


def test_names_match_without_suffixes(tmp_path):
    write_image(tmp_path / "images" / "a.nrrd")
    write_label(tmp_path / "labels" / "a.seg.nrrd")
    found = open_dataset(tmp_path)
    assert found.case("a").label == tmp_path / "labels" / "a.seg.nrrd"
    assert found.channels == ("image",)


def test_odd_characters_in_names_are_replaced(tmp_path):
    write_image(tmp_path / "images" / "case (1).nii")
    write_label(tmp_path / "labels" / "case (1).nii.gz")
    assert open_dataset(tmp_path).cases[0].id == "case_1"


def test_other_files_are_passed_over(tmp_path):
    folder = pairs(tmp_path)
    (folder / "images" / "notes.txt").write_text("nothing")
    (folder / "images" / ".DS_Store").write_bytes(b"\0")
    write_image(folder / "images" / "c.nii").rename(folder / "images" / "c")
    write_label(folder / "labels" / "c.nii")
    assert [case.id for case in open_dataset(folder).cases] == ["a", "b", "c"]


def test_without_labels_no_case_is_labelled(tmp_path):
    write_image(tmp_path / "images" / "a.nii")
    found = open_dataset(tmp_path)
    assert found.labelled == ()
    assert found.scheme is None


def test_values_are_structures_if_nothing_names_them(tmp_path):
    folder = pairs(tmp_path)
    (folder / "labels.json").unlink()
    write_label(folder / "labels" / "b.nii.gz", values=(0, 7))
    scheme = open_dataset(folder).scheme
    assert dict(zip(scheme.names, scheme.values, strict=True)) == {"structure 1": 1, "structure 2": 2, "structure 7": 7}


def test_an_ignore_value_may_be_named(tmp_path):
    folder = pairs(tmp_path)
    write_json(folder / "labels.json", {"one": 1, "ignore": 2})
    assert open_dataset(folder).scheme.ignore == 2


def test_colour_pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 1)).astype(np.uint8)
    write_volume(tmp_path / "images" / "a.png", Volume(pixels, picture_grid(6, 7), ("red", "green", "blue")))
    write_label_map(tmp_path / "labels" / "a.png", label_map(picture_grid(6, 7), (0, 255)))
    found = open_dataset(tmp_path)
    assert found.channels == ("red", "green", "blue")
    assert found.scheme.values == (255,)
    assert np.array_equal(load_case(found.case("a"), found.channels, found.scheme).image.array, pixels)


def test_dicom_series_with_label_maps(tmp_path):
    grid = Geometry((OBLIQUE.columns, OBLIQUE.rows, OBLIQUE.slices), OBLIQUE.affine)
    stored = {}
    for case, patient in (("a", "P1"), ("b", "P1"), ("c", "P2"), ("d", "")):
        stored[case] = write_series(tmp_path / "images" / case, PatientID=patient)
        write_label_map(tmp_path / "labels" / f"{case}.nii.gz", label_map(grid).reoriented("RAS"))
    found = open_dataset(tmp_path)
    assert found.channels == ("CT",)
    case = load_case(found.case("a"), found.channels, found.scheme)
    assert np.array_equal(case.image.array[0], stored["a"])
    assert np.array_equal(case.label.array, label_map(grid).array)  # turned to the image's axes
    patients = {case.id: case.patient for case in found.cases}
    assert patients["a"] == patients["b"] != patients["c"]
    assert patients["d"] == "d"
    assert "P1" not in repr(found)


def test_dicom_files_of_a_whole_volume_tell_the_patient_too(tmp_path):
    (tmp_path / "images").mkdir()
    grid = Grid()
    for case in ("a", "b"):
        made = enhanced_dataset(grid, voxels(grid), range(grid.slices))
        made.PatientID = "P1"
        write_file(tmp_path / "images" / f"{case}.dcm", made)
    found = open_dataset(tmp_path)
    assert found.channels == ("MR",)
    assert found.cases[0].patient == found.cases[1].patient


def test_a_damaged_first_image_hides_nothing(tmp_path):
    folder = pairs(tmp_path)
    (folder / "images" / "a.nii.gz").write_bytes(b"nothing")
    assert open_dataset(folder).channels == ("image",)


def test_no_image_can_be_read(tmp_path):
    folder = pairs(tmp_path, ("a",))
    (folder / "images" / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ReadError, match=r"a\.nii\.gz: not an image"):
        open_dataset(folder)


def test_an_image_without_label(tmp_path):
    folder = pairs(tmp_path)
    (folder / "labels" / "a.nii.gz").unlink()
    with pytest.raises(InputError, match="a case in images/ has no partner in labels/: a; add it or move the case"):
        open_dataset(folder)


def test_a_label_without_image(tmp_path):
    folder = pairs(tmp_path, ("a", "b", "c", "d"))
    for case in "bcd":
        (folder / "images" / f"{case}.nii.gz").unlink()
    with pytest.raises(InputError, match="3 of 4 cases in labels/ have no partner in images/: b, c, d"):
        open_dataset(folder)


def test_two_files_for_one_case(tmp_path):
    folder = pairs(tmp_path)
    write_image(folder / "images" / "a.nrrd")
    with pytest.raises(InputError, match=r"images/ holds two files for case 'a': 'a\.nii\.gz' and 'a\.nrrd'; keep one"):
        open_dataset(folder)


@pytest.mark.parametrize("present", [(), ("labels",)])
def test_no_images(tmp_path, present):
    (tmp_path / "images").mkdir()
    for name in present:
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="folder 'images' holds no image"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"one": "x"}, r"labels\.json: labels\.one\.int: input should be a valid integer"),
        ({"one": 1, "two": 1}, r"labels\.json: structure names and values must differ"),
        ({"background": 0}, r"labels\.json: a label scheme needs at least one structure"),
        ({"one": -1}, r"labels\.json: structure values must be positive"),
        ({"one": 1, "ignore": [2, 3]}, r"labels\.json: the ignore value must be one number, got \[2, 3\]"),
        ({str(value): value for value in range(1, 300)}, r"labels\.json: 299 structures; at most 254 are possible"),
    ],
)
def test_labels_that_are_not_sound(tmp_path, content, message):
    folder = pairs(tmp_path)
    write_json(folder / "labels.json", content)
    with pytest.raises((LabelError, ReadError), match=f"^{message}"):
        open_dataset(folder)


@pytest.mark.parametrize(("values", "message"), [((0,), "hold no value besides 0"), ((0, -3), "hold the value -3")])
def test_label_maps_without_structure(tmp_path, values, message):
    write_image(tmp_path / "images" / "a.nii")
    array = np.resize(np.array(values, np.int16), GRID.shape)
    write_volume(tmp_path / "labels" / "a.nii", Volume(array[np.newaxis], GRID))
    with pytest.raises(LabelError, match=f"the label maps {message}"):
        open_dataset(tmp_path)


def test_no_label_can_be_read(tmp_path):
    write_image(tmp_path / "images" / "a.nii")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.nii").write_bytes(b"nothing")
    with pytest.raises(ReadError, match=r"a\.nii: not an image"):
        open_dataset(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    folder = pairs(tmp_path, ("a",))
    (folder / "images" / "a.nii.gz").chmod(0)
    with pytest.raises(ReadError, match=r"a\.nii\.gz: cannot be read \(Permission denied\)"):
        open_dataset(folder)


def test_series_of_different_sizes_are_one_data_set(tmp_path):
    for case, grid in (("a", Grid()), ("b", OBLIQUE)):
        write_series(tmp_path / "images" / case, grid)
    assert len(open_dataset(tmp_path).cases) == 2
